//! `splits.csv`.

use kiln_store::splits::{self, Splits};

use crate::samples::directory;

fn written(splits: &Splits<'_>) -> String {
    let directory = directory();
    let path = directory.path().join("splits.csv");
    splits::write(&path, splits).expect("written");
    std::fs::read_to_string(path).expect("a text")
}

#[test]
fn consecutive_rows_without_names_share_a_line() {
    let (training, validation, test) = ([0, 3, 4, 5], [1, 2, 6], [7]);
    let splits =
        Splits { training: &training, validation: &validation, test: &test, file_names: None };
    let expected = "first,last,part\n0,0,training\n1,2,validation\n3,5,training\n6,6,validation\n\
                    7,7,test\n";
    assert_eq!(written(&splits), expected);
}

#[test]
fn images_with_names_have_a_line_each() {
    let names = ["a/1.png", "a/2, \"new\".png", "b/ñ.png"].map(str::to_owned);
    let splits =
        Splits { training: &[0, 2], validation: &[], test: &[1], file_names: Some(&names) };
    let text =
        "row,part,file\n0,training,a/1.png\n1,test,\"a/2, \"\"new\"\".png\"\n2,training,b/ñ.png\n";
    assert_eq!(written(&splits), text);

    let directory = directory();
    let missing = Splits { training: &[3], ..splits };
    let error = splits::write(&directory.path().join("splits.csv"), &missing).expect_err("no name");
    assert!(error.to_string().contains("a row has no file name"), "{error}");
}
