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

#[test]
fn movement() {
    let x = || [("input", reals(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))];
    let scalar = || [("input", reals(&[], &[7.0]))];
    let none = |shape: &[usize]| [("input", zeros(shape))];
    let with = |name: &'static str, tensor: Stored| [x(), [(name, tensor)]].concat();
    passes("roll", json!({"shifts": [1, -1], "dims": [0, -1]}), &x(), {
        reals(&[2, 3], &[5.0, 6.0, 4.0, 2.0, 3.0, 1.0])
    });
    passes("roll", json!({"shifts": [7]}), &x(), {
        reals(&[2, 3], &[6.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    });
    passes("roll", json!({"shifts": 10000, "dims": 1}), &none(&[0, 0, 0]), zeros(&[0, 0, 0]));
    passes("flip", json!({"dims": -1}), &x(), reals(&[2, 3], &[3.0, 2.0, 1.0, 6.0, 5.0, 4.0]));
    passes("flip", json!({"dims": [0, 2]}), &none(&[5, 0, 4]), zeros(&[5, 0, 4]));
    passes("repeat", json!({"repeats": [0, 2]}), &scalar(), zeros(&[0, 2]));
    passes(
        "diagonal",
        json!({"offset": -1, "dim1": -1, "dim2": 0}),
        &x(),
        reals(&[2], &[2.0, 6.0]),
    );
    passes("diagonal", json!({"offset": -7}), &x(), zeros(&[0]));
    passes(
        "narrow",
        json!({"dim": 1, "start": -2, "length": 1}),
        &x(),
        reals(&[2, 1], &[2.0, 5.0]),
    );
    let start = with("start", labels(&[], &[-2]));
    passes("narrow", json!({"dim": -1, "length": 1}), &start, reals(&[2, 1], &[2.0, 5.0]));
    passes("squeeze", json!({"dim": [0, -1, 1]}), &none(&[1, 0, 1]), zeros(&[0]));
    passes("squeeze", json!({"dim": 0}), &scalar(), reals(&[], &[7.0]));
    passes("reshape", json!({"shape": [-1, 3]}), &none(&[0, 3]), zeros(&[0, 3]));
    passes("transpose", json!({"dim0": 0, "dim1": -1}), &scalar(), reals(&[], &[7.0]));
    passes("permute", json!({"dims": [-1, 0]}), &x(), {
        reals(&[3, 2], &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0])
    });
    passes("pixel_shuffle", json!({"upscale_factor": 2}), &none(&[4, 0, 1]), zeros(&[1, 0, 2]));
    passes("triu", json!({"diagonal": -1}), &none(&[3, 0, 2]), zeros(&[3, 0, 2]));
    let lists = [("input.0", zeros(&[0])), ("input.1", x()[0].1.clone())];
    passes("cat", json!({"dim": 1}), &lists, x()[0].1.clone());
    let lists = [("tensors.0", scalar()[0].1.clone()), ("tensors.1", zeros(&[]))];
    passes("stack", json!({"dim": -1}), &lists, reals(&[2], &[7.0, 0.0]));
    fails("roll", json!({"shifts": [1, 2], "dims": 0}), &x());
    fails("flip", json!({"dims": [0, -2]}), &x());
    fails("narrow", json!({"dim": 1, "start": 2, "length": 2}), &x());
    fails("narrow", json!({"dim": 1, "start": -4, "length": 1}), &x());
    fails("expand", json!({"size": [-1, 2, 3]}), &x());
    fails("permute", json!({"dims": [0, 0]}), &x());
    fails("cat", json!({}), &[("input.0", zeros(&[])), ("input.1", zeros(&[]))]);
    fails("tril", json!({}), &none(&[3]));
    fails("stack", json!({}), &[]);
    fails("unsqueeze", json!({"dim": 3}), &x());
}

#[test]
fn picking_and_adding() {
    let x = || ("input", reals(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
    let scalar = || ("input", reals(&[], &[7.0]));
    let index = |shape: &[usize], values: &[i64]| ("index", labels(shape, values));
    let corner = [x(), index(&[1, 2], &[2, 0])];
    passes("gather", json!({"dim": -1}), &corner, reals(&[1, 2], &[3.0, 1.0]));
    let one = [scalar(), index(&[1], &[0])];
    passes("gather", json!({"dim": 0}), &one, reals(&[1], &[7.0]));
    let none = [x(), index(&[4, 0, 1], &[])];
    passes("gather", json!({"dim": 0}), &none, zeros(&[4, 0, 1]));
    passes("index_select", json!({"dim": -1}), &one, reals(&[], &[7.0]));
    let source = ("src", reals(&[2, 2], &[10.0, 20.0, 30.0, 40.0]));
    let sum = reals(&[2, 3], &[21.0, 2.0, 13.0, 4.0, 5.0, 6.0]);
    let [first, second] = corner;
    passes("scatter_add", json!({"dim": 1}), &[first, second, source], sum);
    let source = ("source", reals(&[2, 1], &[10.0, 20.0]));
    let sum = reals(&[2, 3], &[1.0, 2.0, -2.0, 4.0, 5.0, -4.0]);
    let inputs = [x(), index(&[], &[2]), source];
    passes("index_add", json!({"dim": 1, "alpha": -0.5}), &inputs, sum);
    // The table by either name.
    let rows = reals(&[2, 3], &[4.0, 5.0, 6.0, 1.0, 2.0, 3.0]);
    let table = [("weight", x().1), ("input", labels(&[2], &[1, 0]))];
    passes("embedding", json!({"padding_idx": -1, "max_norm": null}), &table, rows.clone());
    let table = [x(), ("weight", labels(&[2], &[1, 0]))];
    passes("embedding", json!({"scale_grad_by_freq": true, "sparse": true}), &table, rows);
    fails("embedding", json!({"padding_idx": -3}), &table);
    fails("gather", json!({"dim": 0}), &[x(), index(&[2], &[0, 1])]);
    fails("gather", json!({"dim": 0}), &[x(), index(&[1, 4], &[0; 4])]);
    fails("index_select", json!({"dim": 0}), &[x(), index(&[1, 1], &[0])]);
    fails("index_add", json!({"dim": 0}), &[x(), index(&[1], &[0]), ("source", zeros(&[1, 2]))]);
}

#[test]
fn borders() {
    let x = || [("input", reals(&[1, 3], &[1.0, 2.0, 3.0]))];
    let row = |values: &[f64]| reals(&[1, values.len()], values);
    passes("pad", json!({"pad": [1, -1], "value": null}), &x(), row(&[0.0, 1.0, 2.0]));
    let infinite = json!({"pad": [-1, 1], "mode": "constant", "value": "-Infinity"});
    passes("pad", infinite, &x(), row(&[2.0, 3.0, f64::NEG_INFINITY]));
    let circular = json!({"pad": [3, 1], "mode": "circular"});
    passes("pad", circular, &x(), row(&[1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 1.0]));
    passes("pad_reflect", json!({"pad": [-1, 2]}), &x(), row(&[2.0, 3.0, 2.0, 1.0]));
    let replicate = json!({"pad": [0, 0, 0, 1], "mode": "replicate"});
    passes("pad", replicate, &x(), reals(&[2, 3], &[1.0, 2.0, 3.0, 1.0, 2.0, 3.0]));
    passes("pad", json!({"pad": []}), &[("input", zeros(&[]))], zeros(&[]));
    let empty = [("input", zeros(&[0, 3]))];
    passes("pad_replicate", json!({"pad": [1, 1]}), &empty, zeros(&[0, 5]));
    fails("pad", json!({"pad": [1]}), &x());
    fails("pad", json!({"pad": [1, 1, 1, 1, 1, 1]}), &x());
    fails("pad", json!({"pad": [1, 1], "mode": "wrap"}), &x());
    fails("pad", json!({"pad": [-2, -2]}), &x());
    fails("pad_reflect", json!({"pad": [3, 0]}), &x());
}

#[test]
fn order() {
    let x = || [("input", labels(&[2, 2], &[3, 1, 4, 4]))];
    let scalar = || [("input", reals(&[], &[7.0]))];
    passes("argmax", json!({"keepdim": true}), &x(), labels(&[1, 1], &[2]));
    passes("argmax", json!({"dim": -1}), &x(), labels(&[2], &[0, 0]));
    passes("argmax", json!({"dim": -1, "keepdim": true}), &scalar(), labels(&[], &[0]));
    passes("argmax", json!({}), &[("input", truths(&[2], &[0, 1]))], labels(&[], &[1]));
    passes("cumsum", json!({"dim": -1}), &x(), reals(&[2, 2], &[3.0, 4.0, 4.0, 8.0]));
    passes("cumsum", json!({"dim": 0}), &[("input", zeros(&[0, 2]))], zeros(&[0, 2]));
    fails("argmax", json!({"dim": 1}), &scalar());
    fails("argmax", json!({"dim": 0}), &[("input", zeros(&[0, 2]))]);
    fails("cumsum", json!({"dim": 2}), &x());
    fails("sort", json!({"dim": 2}), &x());
    fails("topk", json!({"k": 3}), &x());
    fails("topk", json!({"k": -1}), &x());
}

#[test]
fn precision_and_three_dimensions() {
    // The right answer in f32 is an infinity.
    passes(
        "exp",
        json!({}),
        &[("input", reals(&[2], &[0.0, 100.0]))],
        reals(&[2], &[1.0, 100f64.exp()]),
    );
    // At elements their values, in the middle the mean: the weights are symmetric.
    let grid = |place: [f64; 3]| {
        [
            ("input", reals(&[1, 1, 2, 1, 2], &[1.0, 3.0, 5.0, 7.0])),
            ("grid", reals(&[1, 1, 1, 1, 3], &place)),
        ]
    };
    let form = json!({"mode": "bicubic", "padding_mode": "border", "align_corners": true});
    for (place, value) in [([-1.0, 0.0, -1.0], 1.0), ([1.0, 0.0, -1.0], 3.0), ([0.0; 3], 4.0)] {
        passes("grid_sample", form.clone(), &grid(place), reals(&[1, 1, 1, 1, 1], &[value]));
    }
}
