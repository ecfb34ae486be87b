use super::*;

const DIMENSIONS: &[Dimension] = &[
    Dimension {
        name: "width",
        doc: "units a layer",
        kind: Kind::Int { min: 1, max: 4096 },
        default: DefaultValue::Int(64),
    },
    Dimension {
        name: "rate",
        doc: "learning rate",
        kind: Kind::Float { min: 0.0, max: 1.0 },
        default: DefaultValue::Float(0.1),
    },
    Dimension {
        name: "norm",
        doc: "normalization",
        kind: Kind::Choice(&["none", "batch", "layer"]),
        default: DefaultValue::Text("none"),
    },
    Dimension {
        name: "speck",
        doc: "colour",
        kind: Kind::Colour { also: &["near"] },
        default: DefaultValue::Text("white"),
    },
    Dimension {
        name: "channels",
        doc: "channels of each layer",
        kind: Kind::IntList { min: 1, max: 64, shortest: 1, longest: 3 },
        default: DefaultValue::IntList(&[8, 16]),
    },
    Dimension {
        name: "bias",
        doc: "adds a bias",
        kind: Kind::Bool,
        default: DefaultValue::Bool(true),
    },
];

fn one(key: &str, value: Value) -> Result<Settings, SettingError> {
    resolve(DIMENSIONS, &[(key.to_string(), value)])
}

fn text(value: &str) -> Value {
    Value::Text(value.to_string())
}

fn refusal(key: &str, value: Value) -> String {
    one(key, value).expect_err("must be refused").to_string()
}

#[test]
fn defaults_fill_what_is_not_given() {
    let settings = resolve(DIMENSIONS, &[]).unwrap();
    assert_eq!(settings.usize("width"), 64);
    assert_eq!(settings.int("width"), 64);
    assert_eq!(settings.float("rate"), 0.1);
    assert_eq!(settings.text("norm"), "none");
    assert_eq!(settings.text("speck"), "white");
    assert_eq!(settings.int_list("channels"), [8, 16]);
    assert!(settings.bool("bias"));
    assert_eq!(settings.iter().count(), DIMENSIONS.len());
}

#[test]
fn defaults_are_allowed_values() {
    for dimension in DIMENSIONS {
        let value = dimension.default.value();
        assert_eq!(dimension.kind.check(&value), Ok(value));
    }
}

#[test]
fn whole_numbers_serve_as_real_ones() {
    assert_eq!(one("rate", Value::Int(1)).unwrap().get("rate"), Some(&Value::Float(1.0)));
    let zero = one("rate", Value::Float(-0.0)).unwrap();
    assert_eq!(zero.float("rate").to_bits(), 0.0f64.to_bits());
}

#[test]
fn misspelt_keys_get_the_nearest_name() {
    assert_eq!(refusal("widht", Value::Int(1)), "`widht`: no such setting; did you mean `width`?");
    assert_eq!(
        refusal("zzz", Value::Int(1)),
        "`zzz`: no such setting; there are width, rate, norm, speck, channels, bias"
    );
}

#[test]
fn wrong_types_and_ranges_are_refused() {
    assert_eq!(
        refusal("width", text("wide")),
        "`width`: expected a whole number from 1 to 4096, found the text \"wide\""
    );
    assert_eq!(
        refusal("width", Value::Int(0)),
        "`width`: expected a whole number from 1 to 4096, found the number 0"
    );
    assert!(refusal("width", Value::Float(2.0)).contains("whole number"));
    assert!(refusal("bias", Value::Int(1)).contains("true or false"));
    for bad in [f64::NAN, f64::INFINITY, -0.1, 1.1] {
        assert!(refusal("rate", Value::Float(bad)).contains("a number from 0 to 1"));
    }
    let ints = |values: &[i64]| Value::List(values.iter().copied().map(Value::Int).collect());
    for bad in [ints(&[]), ints(&[0]), ints(&[65]), ints(&[1, 1, 1, 1]), Value::Int(3)] {
        assert!(refusal("channels", bad).contains("a list of 1 to 3 whole numbers"));
    }
    assert!(refusal("channels", Value::List(vec![text("a")])).contains("the list [a]"));
}

#[test]
fn misspelt_words_get_the_nearest_word() {
    assert_eq!(
        refusal("norm", text("bach")),
        "`norm`: \"bach\" is not one of none, batch, layer; did you mean \"batch\"?"
    );
    assert!(refusal("speck", text("whte")).ends_with("did you mean \"white\"?"));
    assert!(refusal("speck", text("naer")).ends_with("did you mean \"near\"?"));
    assert!(!refusal("speck", text("#12345")).contains("did you mean"));
    assert!(one("speck", text("near")).is_ok());
    assert!(one("speck", text("#0a0b0c")).is_ok());
}

#[test]
fn a_key_given_twice_is_refused() {
    let twice = [("width".to_string(), Value::Int(1)), ("width".to_string(), Value::Int(2))];
    assert_eq!(resolve(DIMENSIONS, &twice).unwrap_err().to_string(), "`width`: given twice");
}

#[test]
fn with_replaces_one_value() {
    let settings = resolve(DIMENSIONS, &[]).unwrap();
    let wider = settings.with("width", Value::Int(128));
    assert_eq!((settings.usize("width"), wider.usize("width")), (64, 128));
}

#[test]
#[should_panic(expected = "`depth` is not a dimension")]
fn asking_for_an_unknown_dimension_panics() {
    resolve(DIMENSIONS, &[]).unwrap().int("depth");
}

#[test]
fn settings_travel_through_json() {
    let settings = one("rate", Value::Int(1)).unwrap();
    let json = serde_json::to_string(&settings).unwrap();
    assert_eq!(
        json,
        r#"{"bias":true,"channels":[8,16],"norm":"none","rate":1.0,"speck":"white","width":64}"#
    );
    assert_eq!(serde_json::from_str::<Settings>(&json).unwrap(), settings);
}

#[test]
fn colours_are_read() {
    assert_eq!(parse_colour("red"), Some([1.0, 0.0, 0.0]));
    assert_eq!(parse_colour("#ff0080"), Some([1.0, 0.0, 128.0 / 255.0]));
    for bad in ["", "#", "#ff", "#gg0000", "#+fffff", "purple", "#ff00800"] {
        assert_eq!(parse_colour(bad), None, "{bad}");
    }
}

#[test]
fn nearest_needs_some_likeness() {
    assert_eq!(nearest("adan", ["sgd", "adam"].into_iter()), Some("adam"));
    assert_eq!(nearest("checker", ["all", "checkerboard"].into_iter()), Some("checkerboard"));
    assert_eq!(nearest("mpl", ["cnn", "mlp"].into_iter()), Some("mlp"));
    assert_eq!(nearest("xyz", ["sgd", "adam"].into_iter()), None);
}

const CHOICES: &[Dimension] = &[
    Dimension {
        name: "optimizer",
        doc: "",
        kind: Kind::Entry(&[
            Part {
                name: "adam",
                dimensions: &[
                    Dimension::float("rate", "", (0.0, 1.0), 0.1),
                    Dimension::float("beta", "", (0.0, 1.0), 0.9),
                ],
            },
            Part { name: "sgd", dimensions: &[Dimension::float("rate", "", (0.0, 10.0), 2.0)] },
        ]),
        default: DefaultValue::Text("sgd"),
    },
    Dimension::int("steps", "", (1, 9), 3),
    Dimension {
        name: "groups",
        doc: "",
        kind: Kind::TextList,
        default: DefaultValue::TextList(&["a"]),
    },
];

#[test]
fn an_entry_brings_its_own_dimensions() {
    let given = |pairs: &[(&str, Value)]| -> Vec<(String, Value)> {
        pairs.iter().map(|(key, value)| (key.to_string(), value.clone())).collect()
    };
    let text = |text: &str| Value::Text(text.to_string());
    let adam = ("optimizer", text("adam"));
    let settings = resolve(CHOICES, &[]).unwrap();
    assert_eq!((settings.text("optimizer"), settings.float("rate")), ("sgd", 2.0));
    assert_eq!((settings.get("beta"), settings.text_list("groups")), (None, vec!["a"]));
    let settings = resolve(CHOICES, &given(std::slice::from_ref(&adam))).unwrap();
    assert_eq!((settings.float("rate"), settings.float("beta")), (0.1, 0.9));

    let refused =
        |pairs: &[(&str, Value)]| resolve(CHOICES, &given(pairs)).unwrap_err().to_string();
    // One range of the two of that name, by the choice.
    let rate = ("rate", Value::Float(5.0));
    assert!(resolve(CHOICES, &given(std::slice::from_ref(&rate))).is_ok());
    assert!(
        refused(&[adam.clone(), rate.clone()]).contains("`rate`: expected a number from 0 to 1")
    );
    let beta = ("beta", Value::Float(0.5));
    let message = "`beta`: goes with `optimizer` = adam only, which is not chosen";
    assert_eq!(refused(std::slice::from_ref(&beta)), message);
    assert!(refused(&[("bata", Value::Int(1))]).contains("`bata`: no such setting"));
    let message = refused(&[("optimizer", text("adan"))]);
    assert!(message.contains("one of adam, sgd; did you mean \"adam\"?"), "{message}");
    let numbers = Value::List(vec![Value::Int(1)]);
    assert!(refused(&[("groups", numbers)]).contains("expected a list of texts"));

    // In a sweep each entry takes what it has; what none has stays to be refused.
    let all =
        given(&[("optimizer", text("sgd")), beta, ("steps", Value::Int(2)), ("bata", text("x"))]);
    let kept = applicable(CHOICES, &all);
    let keys: Vec<_> = kept.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["optimizer", "steps", "bata"]);
    let names: Vec<_> = all_dimensions(CHOICES).map(|known| known.name).collect();
    assert_eq!(names, ["optimizer", "steps", "groups", "rate", "beta", "rate"]);
}
