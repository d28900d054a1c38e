//! The comparison as JSON.

use kiln_compare::{TableOptions, json};
use kiln_store::Status;

use crate::text::{options, sample};
use crate::tree::SampleRun;
use crate::{compared, directory};

#[test]
fn json_document() {
    let sweep = directory();
    let runs = [SampleRun::new(0.1, 1, 1), SampleRun::new(0.1, 2, 1).ended(Status::Pruned)];
    let comparison = compared(sweep.path(), &runs);
    let text = json(&comparison, &TableOptions::default()).expect("JSON");
    insta::assert_snapshot!(text.replace(&sweep.path().display().to_string(), "<sweep>"), @r#"
    {
      "format_version": 2,
      "data": {
        "name": "fashion-mnist",
        "fingerprint": "50b4"
      },
      "columns": [
        {
          "key": "model.layers.hidden.repeat",
          "label": "repeat"
        }
      ],
      "shared": {
        "model.layers.0.type": "flatten",
        "model.layers.2.activation": "softmax",
        "model.layers.2.type": "dense",
        "model.layers.2.units": "classes",
        "model.layers.hidden.activation": "relu",
        "model.layers.hidden.type": "dense",
        "model.layers.hidden.units": 100,
        "optimizer.learning_rate": 0.1,
        "optimizer.type": "sgd",
        "training.epochs": 3,
        "training.monitor": "val_accuracy",
        "training.weights": "best"
      },
      "ranked_by": {
        "metric": "val_accuracy",
        "at": "kept",
        "better": "higher",
        "heading": "kept val_accuracy"
      },
      "answer": null,
      "selected": 0,
      "selected_test": {
        "accuracy": 0.75,
        "interval": [
          0.531299122381256,
          0.8881382985923345
        ],
        "images": 20
      },
      "baseline": null,
      "combinations": [
        {
          "settings": {
            "model.layers.hidden.repeat": 1
          },
          "status": "finished",
          "value": {
            "mean": 0.75,
            "deviation": null,
            "count": 1
          },
          "may_be_best": null,
          "p_best": null,
          "behind": null,
          "worse": null,
          "p_worse": null,
          "verdict": null,
          "runs": [
            {
              "seed": 1,
              "id": "0.1-1-1",
              "path": "<sweep>/0.1-1-1",
              "value": 0.75,
              "epoch": 2,
              "name": "depth",
              "status": "finished",
              "stop_reason": null,
              "epochs": 3,
              "validation_rows": 5000,
              "validation_fingerprint": "fedcba9876543210",
              "optimism": null,
              "best_val_accuracy": {
                "epoch": 2,
                "value": 0.75
              },
              "last_val_accuracy": {
                "epoch": 3,
                "value": 0.625
              },
              "kept_val_accuracy": {
                "epoch": 2,
                "value": 0.75
              },
              "test": {
                "loss": 0.5,
                "accuracy": 0.75,
                "examples": 20
              },
              "training_seconds": 1.5,
              "fingerprint": "50b4",
              "measures": {
                "best_epoch": 2.0,
                "best_val_accuracy": 0.75,
                "kept_epoch": 2.0,
                "kept_val_accuracy": 0.75,
                "last_val_accuracy": 0.625,
                "parameters": 286810.0,
                "test_accuracy": 0.75,
                "test_loss": 0.5,
                "training_seconds": 1.5
              },
              "tags": [],
              "note": null
            }
          ],
          "copies": [],
          "kept_epoch": {
            "mean": 2.0,
            "deviation": null,
            "count": 1
          },
          "kept_val_accuracy": {
            "mean": 0.75,
            "deviation": null,
            "count": 1
          },
          "best_epoch": {
            "mean": 2.0,
            "deviation": null,
            "count": 1
          },
          "best_val_accuracy": {
            "mean": 0.75,
            "deviation": null,
            "count": 1
          },
          "last_val_accuracy": {
            "mean": 0.625,
            "deviation": null,
            "count": 1
          },
          "test_loss": {
            "mean": 0.5,
            "deviation": null,
            "count": 1
          },
          "test_accuracy": {
            "mean": 0.75,
            "deviation": null,
            "count": 1
          },
          "training_seconds": {
            "mean": 1.5,
            "deviation": null,
            "count": 1
          },
          "parameters": {
            "mean": 286810.0,
            "deviation": null,
            "count": 1
          }
        },
        {
          "settings": {
            "model.layers.hidden.repeat": 2
          },
          "status": "pruned at epoch 3",
          "value": {
            "mean": 0.75,
            "deviation": null,
            "count": 1
          },
          "may_be_best": null,
          "p_best": null,
          "behind": null,
          "worse": null,
          "p_worse": null,
          "verdict": null,
          "runs": [
            {
              "seed": 1,
              "id": "0.1-2-1",
              "path": "<sweep>/0.1-2-1",
              "value": 0.75,
              "epoch": 2,
              "name": "depth",
              "status": "pruned",
              "stop_reason": null,
              "epochs": 3,
              "validation_rows": 5000,
              "validation_fingerprint": "fedcba9876543210",
              "optimism": null,
              "best_val_accuracy": {
                "epoch": 2,
                "value": 0.75
              },
              "last_val_accuracy": {
                "epoch": 3,
                "value": 0.625
              },
              "kept_val_accuracy": {
                "epoch": 2,
                "value": 0.75
              },
              "test": null,
              "training_seconds": 1.5,
              "fingerprint": "50b4",
              "measures": {
                "best_epoch": 2.0,
                "best_val_accuracy": 0.75,
                "kept_epoch": 2.0,
                "kept_val_accuracy": 0.75,
                "last_val_accuracy": 0.625,
                "parameters": 286810.0,
                "test_accuracy": null,
                "test_loss": null,
                "training_seconds": 1.5
              },
              "tags": [],
              "note": null
            }
          ],
          "copies": [],
          "kept_epoch": {
            "mean": 2.0,
            "deviation": null,
            "count": 1
          },
          "kept_val_accuracy": {
            "mean": 0.75,
            "deviation": null,
            "count": 1
          },
          "best_epoch": {
            "mean": 2.0,
            "deviation": null,
            "count": 1
          },
          "best_val_accuracy": {
            "mean": 0.75,
            "deviation": null,
            "count": 1
          },
          "last_val_accuracy": {
            "mean": 0.625,
            "deviation": null,
            "count": 1
          },
          "test_loss": null,
          "test_accuracy": null,
          "training_seconds": {
            "mean": 1.5,
            "deviation": null,
            "count": 1
          },
          "parameters": {
            "mean": 286810.0,
            "deviation": null,
            "count": 1
          }
        }
      ],
      "optimism": null,
      "effects": [],
      "interactions": [],
      "next_step": null,
      "other_data": [],
      "left_out": [],
      "notes": [
        "One seed each: this says nothing about the settings, because two seeds of one setting can differ as much. Repeat them with more seeds."
      ]
    }
    "#);
}

#[test]
fn json_is_sorted_and_has_full_precision() {
    let sweep = directory();
    let comparison = sample(sweep.path());
    let text = json(&comparison, &options("hidden.repeat", &[], false)).expect("JSON");
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let rows = json["combinations"].as_array().expect("rows");
    let depths: Vec<_> =
        rows.iter().map(|row| row["settings"]["model.layers.hidden.repeat"].as_u64()).collect();
    assert_eq!(depths, [Some(0), Some(0), Some(2), Some(2), Some(2)], "numbers are numbers");
    let selected = json["selected"].as_u64().expect("an index") as usize;
    let best = comparison
        .selected()
        .and_then(|selected| comparison.ranking.of(selected))
        .expect("a value");
    assert_eq!(rows[selected]["value"]["mean"].as_f64(), Some(best.mean));
}
