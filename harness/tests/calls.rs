//! Calls of operators in ways that the recorded samples do not show: former
//! names, truth values, tensors without dimensions or elements.

mod support;

use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};
use std::collections::HashMap;
use support::Place;

/// A tensor as it is stored.
#[derive(Clone)]
struct Stored(Dtype, Vec<usize>, Vec<u8>);

fn reals(shape: &[usize], values: &[f64]) -> Stored {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Stored(Dtype::F64, shape.to_vec(), bytes)
}

fn zeros(shape: &[usize]) -> Stored {
    reals(shape, &vec![0.0; shape.iter().product()])
}

fn labels(shape: &[usize], values: &[i64]) -> Stored {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Stored(Dtype::I64, shape.to_vec(), bytes)
}

fn truths(shape: &[usize], values: &[u8]) -> Stored {
    Stored(Dtype::BOOL, shape.to_vec(), values.to_vec())
}

type Inputs<'a> = &'a [(&'a str, Stored)];

/// What `speck conform` says of one call.
fn outcome(op: &str, attributes: &Value, inputs: Inputs<'_>, output: Stored) -> Value {
    let names: Vec<_> = inputs.iter().map(|(name, _)| *name).collect();
    let case = json!([{ "id": "0", "inputs": names, "attrs": attributes, "outputs": 1 }]);
    let metadata =
        HashMap::from([("op".to_owned(), op.to_owned()), ("cases".to_owned(), case.to_string())]);
    let mut tensors: Vec<_> =
        inputs.iter().map(|(name, tensor)| (format!("0/in/{name}"), tensor.clone())).collect();
    tensors.push(("0/out/0".to_owned(), output));
    let views = tensors.iter().map(|(name, Stored(dtype, shape, bytes))| {
        (name, TensorView::new(*dtype, shape.clone(), bytes).expect("a tensor"))
    });
    let bytes = safetensors::serialize(views, Some(metadata)).expect("a file");
    let place = Place::with("call.safetensors", bytes);
    let said = place.speck(&["conform", "call.safetensors", "--json"]).out;
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

#[track_caller]
fn passes(op: &str, attributes: Value, inputs: Inputs<'_>, output: Stored) {
    let said = outcome(op, &attributes, inputs, output);
    assert_eq!(said["status"], "pass", "{op} {attributes}: {said}");
}

#[track_caller]
fn fails(op: &str, attributes: Value, inputs: Inputs<'_>) {
    let said = outcome(op, &attributes, inputs, zeros(&[]));
    let message = said["message"].as_str().unwrap_or_default();
    assert!(said["status"] != "pass" && !message.contains("instead of"), "{op}: {said}");
}

#[test]
fn reductions() {
    let x = || [("input", reals(&[2, 2], &[1.0, 2.0, 3.0, 5.0]))];
    let scalar = || [("input", reals(&[], &[-2.0]))];
    passes("sum", json!({"dim": []}), &x(), reals(&[], &[11.0]));
    passes("sum", json!({"dim": [-1, 0], "keepdim": true}), &x(), reals(&[1, 1], &[11.0]));
    passes("amin", json!({"dim": -1}), &x(), reals(&[2], &[1.0, 3.0]));
    passes("amax", json!({"dim": -1, "keepdim": true}), &scalar(), reals(&[], &[-2.0]));
    passes("mean", json!({"dim": 0}), &[("input", zeros(&[0, 2]))], reals(&[2], &[f64::NAN; 2]));
    passes("prod", json!({"dim": 0}), &[("input", zeros(&[0, 2]))], reals(&[2], &[1.0; 2]));
    passes("var", json!({"unbiased": false, "dim": 1}), &x(), reals(&[2], &[0.25, 1.0]));
    passes("var", json!({"correction": null, "dim": 1}), &x(), reals(&[2], &[0.5, 2.0]));
    passes("std", json!({"correction": 0}), &scalar(), reals(&[], &[0.0]));
    passes("vector_norm", json!({"ord": -1, "dim": []}), &scalar(), reals(&[], &[2.0]));
    passes("normalize", json!({"p": 1.2, "dim": 0}), &scalar(), reals(&[], &[-1.0]));
    passes("logsumexp", json!({"dim": 0}), &[("input", zeros(&[2]))], reals(&[], &[2f64.ln()]));
    let pair = [("x1", reals(&[2], &[3.0, 4.0])), ("x2", reals(&[2], &[0.0, 2.0]))];
    passes("cosine_similarity", json!({"dim": 0}), &pair, reals(&[], &[0.8]));
    fails("sum", json!({"dim": 2}), &x());
    fails("prod", json!({"dim": -3}), &x());
    fails("var", json!({"dim": [0, 0]}), &x());
    fails("vector_norm", json!({"ord": -1, "dim": 0}), &[("input", zeros(&[0, 2]))]);
}

#[test]
fn losses() {
    let pair = || [("input", reals(&[2], &[1.0, 2.0])), ("target", zeros(&[2]))];
    passes("mse_loss", json!({"size_average": false}), &pair(), reals(&[], &[5.0]));
    passes("mse_loss", json!({"reduce": false}), &pair(), reals(&[2], &[1.0, 4.0]));
    passes("mse_loss", json!({"size_average": null}), &pair(), reals(&[], &[2.5]));
    let [input, target] = pair();
    let weight = ("weight", reals(&[2], &[1.0, 3.0]));
    passes("mse_loss", json!({}), &[input, target, weight], reals(&[], &[13.0 / 4.0]));
    let one = || [("input", zeros(&[2])), ("target", labels(&[], &[1]))];
    let two = || [("input", zeros(&[2, 2])), ("target", labels(&[2], &[1, -100]))];
    passes("cross_entropy", json!({}), &one(), reals(&[], &[2f64.ln()]));
    passes("cross_entropy", json!({"label_smoothing": 0.5}), &two(), reals(&[], &[2f64.ln()]));
    passes("cross_entropy", json!({"ignore_index": 1}), &one(), reals(&[], &[f64::NAN]));
    passes("cross_entropy", json!({"ignore_index": 1, "reduction": "sum"}), &one(), zeros(&[]));
    let none = [("input", zeros(&[0, 2])), ("target", labels(&[0], &[]))];
    passes("nll_loss", json!({}), &none, reals(&[], &[f64::NAN]));
    fails("mse_loss", json!({"reduction": "median"}), &pair());
    fails("nll_loss", json!({}), &[("input", zeros(&[2, 3])), ("target", labels(&[3], &[0; 3]))]);
}

#[test]
fn products() {
    let column = || reals(&[2, 1], &[1.0, 2.0]);
    passes(
        "einsum",
        json!({"equation": "ij->j"}),
        &[("operands.0", column())],
        reals(&[1], &[3.0]),
    );
    passes(
        "einsum",
        json!({"arg1": "i..."}),
        &[("input.0", column())],
        reals(&[1, 2], &[1.0, 2.0]),
    );
    let inputs =
        [("input", reals(&[], &[f64::NAN])), ("mat1", column()), ("mat2", reals(&[1, 1], &[3.0]))];
    passes("addmm", json!({"beta": 0, "alpha": 2}), &inputs, reals(&[2, 1], &[6.0, 12.0]));
    let vectors = [("input", zeros(&[0])), ("other", zeros(&[0]))];
    passes("matmul", json!({}), &vectors, zeros(&[]));
    let vectors =
        [("input", column()), ("weight", reals(&[1], &[3.0])), ("bias", reals(&[], &[1.0]))];
    passes("linear", json!({}), &vectors, reals(&[2], &[4.0, 7.0]));
    fails("mm", json!({}), &[("input", zeros(&[1, 1, 1])), ("mat2", zeros(&[1, 1, 1]))]);
    fails("bmm", json!({}), &[("input", zeros(&[1, 1])), ("mat2", zeros(&[1, 1, 1]))]);
    fails("outer", json!({}), &[("input", zeros(&[1, 1])), ("vec2", zeros(&[1]))]);
    fails("matmul", json!({}), &[("input", zeros(&[])), ("other", zeros(&[1]))]);
    fails("einsum", json!({"arg1": "ij,j"}), &[("input.0", column())]);
}

#[test]
fn masks_of_attention() {
    let inputs = |mask: Stored| {
        [
            ("query", zeros(&[2, 3])),
            ("key", zeros(&[2, 3])),
            ("value", reals(&[2, 1], &[1.0, 3.0])),
            ("attn_mask", mask),
        ]
    };
    let attention = "scaled_dot_product_attention";
    // Truth values say where to look, numbers are added to the scores.
    let mask = truths(&[2, 2], &[0, 1, 0, 0]);
    passes(attention, json!({}), &inputs(mask.clone()), reals(&[2, 1], &[3.0, 0.0]));
    let bias = reals(&[2, 2], &[0.0, 3f64.ln(), 0.0, 0.0]);
    passes(attention, json!({"scale": 2.0}), &inputs(bias), reals(&[2, 1], &[2.5, 2.0]));
    fails(attention, json!({"is_causal": true}), &inputs(mask));
    let [query, key, value, _] = inputs(zeros(&[2, 2]));
    passes(
        attention,
        json!({"is_causal": true}),
        &[query, key, value],
        reals(&[2, 1], &[1.0, 2.0]),
    );
}
