//! Reading and writing the `[model]` table.

use crate::common::{FIVE_DENSE_LAYERS, read};
use kiln_model::{Activation, LayerKind, LayerType};

/// The rendered error of a list of layers, which are each on one line.
fn error_of(layers: &[&str]) -> String {
    let lines = layers.join(",\n");
    read(&format!("layers = [\n{lines}\n]\n")).expect_err(&lines).to_string()
}

#[test]
fn errors_point_at_the_value() {
    assert_eq!(
        error_of(&[r#"  { type = "flatten" }"#, r#"  { type = "dense", units = -3 }"#]),
        "\
error: expected a whole number above 0, or \"classes\", found the number -3
 --> model.toml:3:29
  |
3 |   { type = \"dense\", units = -3 }
  |                             ^^ expected a whole number above 0, or \"classes\""
    );
    assert_eq!(
        error_of(&[r#"  { type = "dense", unit = 3 }"#]),
        "\
error: unknown key `unit`
 --> model.toml:2:21
  |
2 |   { type = \"dense\", unit = 3 }
  |                     ^^^^ did you mean `units`?"
    );
}

#[test]
fn an_invalid_value_is_an_error_at_its_place() {
    for (layer, expected) in [
        (
            r#"{ type = "dens", units = 3 }"#,
            &["did you mean \"dense\"?", "batch_normalization"][..],
        ),
        (r#"{ type = 3 }"#, &["expected a string", "\"dense\""]),
        (
            r#"{ units = 3 }"#,
            &["the key `type` is missing", "valid values: \"block\", \"flatten\", \"dense\""],
        ),
        (r#"{ tpye = "dense", units = 3 }"#, &["unknown key `tpye`", "did you mean `type`?"]),
        (r#""dense""#, &["expected a table"]),
        (r#"{ type = "dense" }"#, &["the key `units` is missing"]),
        (r#"{ type = "dense", units = 0 }"#, &["a whole number above 0"]),
        (r#"{ type = "dense", units = 2.5 }"#, &["a whole number above 0"]),
        (r#"{ type = "dense", units = "clases" }"#, &["or \"classes\""]),
        (r#"{ type = "dense", units = 3, activation = "rlu" }"#, &["did you mean \"relu\"?"]),
        (r#"{ type = "dense", units = 3, use_bias = 1 }"#, &["expected true or false"]),
        (
            r#"{ type = "dense", units = 3, kernel_initializer = "glorot" }"#,
            &["did you mean \"glorot_uniform\"?", "or a number, the value of every element"],
        ),
        (
            r#"{ type = "dense", units = 3, bias_initializer = 1e39 }"#,
            &["expected a number up to 3.4e38"],
        ),
        (r#"{ type = "dense", units = 3, bias_initializer = nan }"#, &["expected a number"]),
        (r#"{ type = "dense", units = 3, repeat = -1 }"#, &["a whole number, 0 or more"]),
        (r#"{ type = "dense", units = 3, name = "1st" }"#, &["a letter, then letters, digits"]),
        (r#"{ type = "dense", units = 3, name = "a.b" }"#, &["a letter, then letters, digits"]),
        (r#"{ type = "flatten", units = 3 }"#, &["unknown key `units`"]),
        (r#"{ type = "dropout" }"#, &["the key `rate` is missing"]),
        (r#"{ type = "dropout", rate = 1.0 }"#, &["a number from 0 to below 1"]),
        (r#"{ type = "dropout", rate = -0.1 }"#, &["a number from 0 to below 1"]),
        (r#"{ type = "activation" }"#, &["the key `activation` is missing"]),
        (r#"{ type = "batch_normalization", momentum = 1.1 }"#, &["a number from 0 to 1"]),
        (r#"{ type = "batch_normalization", epsilon = 0 }"#, &["a number from 1e-30 to 1"]),
        (r#"{ type = "batch_normalization", epsilon = 1e-60 }"#, &["a number from 1e-30 to 1"]),
        (r#"{ type = "batch_normalization", center = 0 }"#, &["expected true or false"]),
        (r#"{ type = "block" }"#, &["the key `layers` is missing"]),
        (r#"{ type = "conv2d", kernel_size = 3 }"#, &["the key `filters` is missing"]),
        (r#"{ type = "conv2d", filters = 3 }"#, &["the key `kernel_size` is missing"]),
        (r#"{ type = "conv2d", filters = 0, kernel_size = 3 }"#, &["a whole number, 1 or more"]),
        (
            r#"{ type = "conv2d", filters = 3, kernel_size = [3, 3, 3] }"#,
            &["a whole number above 0, or two of them: [height, width]"],
        ),
        (
            r#"{ type = "conv2d", filters = 3, kernel_size = 3, strides = 0 }"#,
            &["a whole number above 0, or two of them"],
        ),
        (
            r#"{ type = "conv2d", filters = 3, kernel_size = 3, padding = 1 }"#,
            &[
                "expected a string",
                "put { type = \"zero_padding2d\", padding = 1 } before the layer",
            ],
        ),
        (
            r#"{ type = "conv2d", filters = 3, kernel_size = 3, padding = "full" }"#,
            &["unknown padding \"full\"", "\"valid\", \"same\""],
        ),
        (r#"{ type = "depthwise_conv2d" }"#, &["the key `kernel_size` is missing"]),
        (
            r#"{ type = "depthwise_conv2d", kernel_size = 3, depth_multiplier = 0 }"#,
            &["a whole number above 0"],
        ),
        (
            r#"{ type = "depthwise_conv2d", kernel_size = 3, kernel_initializer = "zeros" }"#,
            &["did you mean `depthwise_initializer`?"],
        ),
        (r#"{ type = "conv2d", filters = 3, kernel_size = [3] }"#, &["help: write 3"]),
        (r#"{ type = "conv2d", units = 3, kernel_size = 3 }"#, &["did you mean `filters`?"]),
        (
            r#"{ type = "depthwise_conv2d", filters = 3, kernel_size = 3 }"#,
            &["did you mean `depth_multiplier`?"],
        ),
        (
            r#"{ type = "max_pooling2d", padding = 1 }"#,
            &["put { type = \"zero_padding2d\", padding = 1 } before the layer"],
        ),
        (r#"{ type = "flatten", start_dim = 1 }"#, &["the images of a batch always stay apart"]),
        (
            r#"{ type = "AdaptiveAvgPool2d", output_size = 1 }"#,
            &["did you mean \"global_average_pooling2d\"?"],
        ),
        (r#"{ type = "max_pooling2d", pool_size = 0 }"#, &["a whole number above 0"]),
        (r#"{ type = "max_pooling2d", kernel_size = 3 }"#, &["did you mean `pool_size`?"]),
        (r#"{ type = "MaxPool2d" }"#, &["did you mean \"max_pooling2d\"?"]),
        (r#"{ type = "AvgPool2d" }"#, &["did you mean \"average_pooling2d\"?"]),
        (r#"{ type = "AdaptiveAvgPool2d" }"#, &["did you mean \"global_average_pooling2d\"?"]),
        (r#"{ type = "GroupNorm" }"#, &["did you mean \"group_normalization\"?"]),
        (r#"{ type = "LayerNorm" }"#, &["did you mean \"layer_normalization\"?"]),
        (r#"{ type = "BatchNorm2d" }"#, &["did you mean \"batch_normalization\"?"]),
        (r#"{ type = "Dropout2d" }"#, &["did you mean \"spatial_dropout2d\"?"]),
        (r#"{ type = "ZeroPad2d" }"#, &["did you mean \"zero_padding2d\"?"]),
        (r#"{ type = "Linear", units = 3 }"#, &["did you mean \"dense\"?"]),
        (
            r#"{ type = "ReLU" }"#,
            &["unknown layer \"ReLU\"", "write { type = \"activation\", activation = \"relu\" }"],
        ),
        (r#"{ type = "relu6" }"#, &["write { type = \"activation\", activation = \"relu\" }"]),
        (r#"{ type = "LeakyReLU" }"#, &["activation = \"leaky_relu\" }"]),
        (r#"{ type = "SeparableConv2D" }"#, &["write two layers: { type = \"depthwise_conv2d\""]),
        (r#"{ type = "InstanceNorm2d" }"#, &["write { type = \"group_normalization\""]),
        (r#"{ type = "Reshape" }"#, &["images have rows and columns from the start"]),
        (
            r#"{ type = "conv2d", filters = 3, kernel_size = 3, data_format = "channels_last" }"#,
            &["unknown key `data_format`", "images are [channels, height, width] in every layer"],
        ),
        (r#"{ type = "flatten", input_shape = [28, 28] }"#, &["known from the data"]),
        (r#"{ type = "dense", units = 3, in_features = 9 }"#, &["knows the shape of its input"]),
        (
            r#"{ type = "conv2d", filters = 3, kernel_size = "3" }"#,
            &["a whole number above 0, or two of them", "help: write 3 without quotes"],
        ),
        (r#"{ type = "conv2d", filters = 3, kernel_size = "3x5" }"#, &["help: write [3, 5]"]),
        (r#"{ type = "conv2d", filters = 3, kernel_size = "(3, 3)" }"#, &["help: write [3, 3]"]),
        (
            r#"{ type = "conv2d", filters = 3, kernel_size = 3, learning_rate_factor = 0 }"#,
            &["a number above 0", "set trainable = false"],
        ),
        (r#"{ type = "group_normalization", groups = 0 }"#, &["a whole number above 0"]),
        (r#"{ type = "group_normalization", num_groups = 2 }"#, &["did you mean `groups`?"]),
        (r#"{ type = "layer_normalization", epsilon = 0 }"#, &["a number from 1e-30 to 1"]),
        (r#"{ type = "spatial_dropout2d" }"#, &["the key `rate` is missing"]),
        (r#"{ type = "spatial_dropout2d", rate = 1 }"#, &["a number from 0 to below 1"]),
        (
            r#"{ type = "zero_padding2d", padding = -1 }"#,
            &["a whole number from 0 to 1024, [rows, columns] or [[top, bottom], [left, right]]"],
        ),
        (
            r#"{ type = "zero_padding2d", padding = [1, 2, 3, 4] }"#,
            &["[[top, bottom], [left, right]]"],
        ),
        (r#"{ type = "zero_padding2d", padding = "same" }"#, &["[[top, bottom], [left, right]]"]),
        (
            r#"{ type = "block", layers = [{ type = "flatten", size = 1 }] }"#,
            &["unknown key `size`"],
        ),
        (r#"{ type = "block", layers = [{ type = "flatten", name = "a" }] }"#, &["the name `a`"]),
    ] {
        let error = error_of(&[r#"{ type = "flatten", name = "a" }"#, layer]);
        assert!(error.contains("model.toml:3"), "{error}");
        for expected in expected {
            assert!(error.contains(expected), "{expected} is not in\n{error}");
        }
    }
    let error = read("layers = []\ndepth = 3\n").expect_err("an unknown key").to_string();
    assert!(error.contains("model.toml:2") && error.contains("unknown key `depth`"), "{error}");
    let error = read("layer = []\n").expect_err("no layers").to_string();
    assert!(error.contains("did you mean `layers`?"), "{error}");
}

/// The defaults are those of Keras 3: `get_config()` of each layer.
#[test]
fn defaults_of_image_layers_are_those_of_keras() {
    for (short, long) in [
        (
            "type = 'conv2d', filters = 3, kernel_size = 3",
            "type = 'conv2d', filters = 3, kernel_size = [3, 3], strides = [1, 1], padding = 'valid', dilation_rate = [1, 1], \
             groups = 1, activation = 'linear', use_bias = true, kernel_initializer = 'glorot_uniform', \
             bias_initializer = 'zeros'",
        ),
        (
            "type = 'depthwise_conv2d', kernel_size = 3",
            "type = 'depthwise_conv2d', kernel_size = [3, 3], strides = [1, 1], padding = 'valid', depth_multiplier = 1, \
             dilation_rate = [1, 1], activation = 'linear', use_bias = true, depthwise_initializer = 'glorot_uniform', \
             bias_initializer = 'zeros'",
        ),
        (
            "type = 'max_pooling2d'",
            "type = 'max_pooling2d', pool_size = [2, 2], strides = [2, 2], padding = 'valid'",
        ),
        (
            "type = 'average_pooling2d', pool_size = 3",
            "type = 'average_pooling2d', pool_size = [3, 3], strides = [3, 3], padding = 'valid'",
        ),
        (
            "type = 'group_normalization'",
            "type = 'group_normalization', groups = 32, epsilon = 0.001, center = true, scale = true",
        ),
        (
            "type = 'layer_normalization'",
            "type = 'layer_normalization', epsilon = 0.001, center = true, scale = true",
        ),
        (
            "type = 'batch_normalization'",
            "type = 'batch_normalization', momentum = 0.99, epsilon = 0.001, center = true, scale = true",
        ),
        ("type = 'zero_padding2d'", "type = 'zero_padding2d', padding = [[1, 1], [1, 1]]"),
    ] {
        let read = |layer: &str| read(&format!("layers = [{{ {layer} }}]")).expect("a valid layer");
        assert_eq!(read(short), read(long), "{short}");
    }
}

/// `kiln run` can read the `config.toml` of a run, which has every default.
#[test]
fn a_written_table_reads_back_the_same() {
    let every_layer = r#"
layers = [
  { type = "batch_normalization", name = "first" },
  { type = "block", repeat = 2, name = "outer", layers = [
    { type = "block", layers = [{ type = "dropout", rate = 0.25, name = "noise", repeat = 0 }] },
    { type = "activation", activation = "leaky_relu" },
  ] },
  { type = "flatten" },
  { type = "dense", units = 3, use_bias = false, kernel_initializer = 0.1, bias_initializer = 1 },
  { type = "dense", units = "classes", activation = "softmax", kernel_initializer = "he_normal" },
]
"#;
    for text in [FIVE_DENSE_LAYERS, every_layer] {
        let config = read(text).expect("valid");
        let written = toml::to_string(&config).expect("a table");
        let again = read(&written).unwrap_or_else(|error| panic!("{error}\n{written}"));
        assert_eq!(again, config, "{written}");
    }
}

#[test]
fn defaults_are_those_of_keras() {
    let config = read("layers = [{ type = \"dense\", units = 3 }]").expect("valid");
    assert_eq!(
        toml::to_string(&config).expect("a table"),
        "\
[[layers]]
type = \"dense\"
units = 3
activation = \"linear\"
use_bias = true
kernel_initializer = \"glorot_uniform\"
bias_initializer = \"zeros\"
repeat = 1
"
    );
    let config = read("layers = [{ type = \"batch_normalization\" }]").expect("valid");
    assert_eq!(
        toml::to_string(&config).expect("a table"),
        "[[layers]]\ntype = \"batch_normalization\"\nmomentum = 0.99\nepsilon = 0.001\nrepeat = 1\n"
    );
}

#[test]
fn every_activation_has_a_keyword() {
    for activation in Activation::ALL {
        let text = format!("layers = [{{ type = \"activation\", activation = \"{activation}\" }}]");
        let config = read(&text).expect("a known keyword");
        let LayerKind::Layer(LayerType::Activation(layer)) = &config.layers[0].kind else {
            panic!("not an activation");
        };
        assert_eq!(layer.activation, *activation);
    }
}

/// Activations are layers in Keras and PyTorch.
#[test]
fn every_activation_as_a_layer_is_explained() {
    for activation in Activation::ALL.iter().filter(|it| **it != Activation::Linear) {
        let layer = format!("{{ type = \"{activation}\" }}");
        let advice = format!("write {{ type = \"activation\", activation = \"{activation}\" }}");
        let error = error_of(&[&layer]);
        assert!(error.contains(&advice), "{error}");
    }
}
