use kiln_store::{ClassCounts, mean_over_classes};

#[test]
fn precision_recall_and_f1_are_the_ratios_of_their_definitions() {
    let class = ClassCounts { hits: 3, predicted: 4, support: 6 };
    assert_eq!(class.precision(), Some(0.75));
    assert_eq!(class.recall(), Some(0.5));
    assert_eq!(class.f1(), Some(0.6));
}

#[test]
fn a_ratio_without_images_does_not_exist() {
    let absent = ClassCounts { hits: 0, predicted: 2, support: 0 };
    assert_eq!((absent.precision(), absent.recall(), absent.f1()), (Some(0.0), None, Some(0.0)));
    let never_predicted = ClassCounts { hits: 0, predicted: 0, support: 2 };
    let ratios = (never_predicted.precision(), never_predicted.recall(), never_predicted.f1());
    assert_eq!(ratios, (None, Some(0.0), Some(0.0)));
    assert_eq!(ClassCounts::default().f1(), None);
}

#[test]
fn a_mean_skips_classes_without_the_number() {
    assert_eq!(mean_over_classes([Some(0.5), None, Some(1.0)]), Some(0.75));
    assert_eq!(mean_over_classes([None, None]), None);
    assert_eq!(mean_over_classes([]), None);
}
