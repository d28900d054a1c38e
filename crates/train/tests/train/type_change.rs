//! Overrides of `optimizer.type` and `schedule.type`.

use kiln_train::Declaration;

use crate::columns::EXPERIMENT;

/// The experiment with these lines in `[optimizer]` and at its end, and with overrides.
fn declared(optimizer: &str, end: &str, overrides: &[&str]) -> Result<Declaration, String> {
    let text = EXPERIMENT.replace("type = \"sgd\"\nlearning_rate = 0.1\n", optimizer) + end;
    let overrides: Vec<String> = overrides.iter().map(|it| (*it).to_owned()).collect();
    Declaration::parse("file.toml", &text, &overrides).map_err(|error| error.to_string())
}

const SGD: &str = "type = \"sgd\"\nlearning_rate = 0.1\nmomentum = 0.9\nclipvalue = 0.5\n";

#[test]
fn another_optimizer_has_its_own_defaults() {
    for name in ["adam", "adamw", "rmsprop", "adagrad", "nadam", "lion"] {
        let declaration = declared(SGD, "", &[&format!("optimizer.type={name}")]).unwrap();
        let defaults = declared(&format!("type = \"{name}\"\nclipvalue = 0.5\n"), "", &[]).unwrap();
        assert_eq!(declaration.experiment, defaults.experiment, "{name}");
        let rate =
            format!("learning_rate: 0.001, the default of {name} (the file has 0.1 for sgd)");
        let momentum = if name == "rmsprop" {
            "momentum: 0.0, the default of rmsprop (the file has 0.9 for sgd)".to_owned()
        } else {
            format!("momentum: not a key of {name} (the file has 0.9 for sgd)")
        };
        assert_eq!(declaration.notes, [rate, momentum]);
    }
}

#[test]
fn overrides_stay_in_any_order() {
    let overrides = ["learning_rate=0.003", "optimizer.type=adam"];
    for overrides in [overrides, [overrides[1], overrides[0]]] {
        let declaration = declared(SGD, "", &overrides).unwrap();
        assert_eq!(declaration.experiment.optimizer.learning_rate, 0.003);
        assert_eq!(declaration.notes, ["momentum: not a key of adam (the file has 0.9 for sgd)"]);
    }
    for overrides in
        [["momentum=0.5", "optimizer.type=adam"], ["optimizer.type=adam", "momentum=0.5"]]
    {
        let error = declared(SGD, "", &overrides).unwrap_err();
        assert!(error.contains("unknown key `momentum`"), "{error}");
        assert!(error.contains("command line:1:1"), "{error}");
    }
}

#[test]
fn the_same_type_and_a_complete_table_change_nothing_else() {
    let same = declared(SGD, "", &["optimizer.type=sgd"]).unwrap();
    assert_eq!(same.experiment, declared(SGD, "", &[]).unwrap().experiment);
    let table = declared(SGD, "", &["optimizer={type=\"adam\"}"]).unwrap();
    assert_eq!(table.experiment.optimizer.learning_rate, 0.001);
    let back = declared(SGD, "", &["optimizer.type=adam", "optimizer.type=sgd"]).unwrap();
    assert_eq!(back.notes.len(), 2, "{:?}", back.notes);
    assert_eq!([&same, &table].map(|declaration| declaration.notes.len()), [0, 0]);
    // A value that is the default of both needs no note.
    let adam = "type = \"adam\"\nlearning_rate = 0.001\n";
    assert_eq!(declared(adam, "", &["optimizer.type=nadam"]).unwrap().notes, [""; 0]);
}

#[test]
fn another_schedule_has_its_own_defaults() {
    let step =
        "\n[schedule]\ntype = \"step\"\nfactor = 0.5\nevery_epochs = 2\nwarmup_epochs = 1.0\n";
    let declaration = declared(SGD, step, &["schedule.type=reduce_on_plateau"]).unwrap();
    let plateau = "\n[schedule]\ntype = \"reduce_on_plateau\"\nwarmup_epochs = 1.0\n";
    assert_eq!(declaration.experiment, declared(SGD, plateau, &[]).unwrap().experiment);
    assert_eq!(
        declaration.notes,
        [
            "factor: 0.1, the default of reduce_on_plateau (the file has 0.5 for step)",
            "every_epochs: not a key of reduce_on_plateau (the file has 2 for step)",
        ]
    );
}

#[test]
fn an_unknown_type_is_reported_once() {
    let error = declared(SGD, "", &["optimizer.type=adamm"]).unwrap_err();
    assert!(error.contains("unknown optimizer \"adamm\""), "{error}");
}
