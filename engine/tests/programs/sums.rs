//! Einstein sums, products and attention against loops over all indices.

use crate::{assert_close, evaluate};
use speck_engine::{Attention, ClassLoss, DType, Graph, Reduction};
use std::collections::BTreeMap;

/// Values in no pattern.
fn values(count: usize, salt: usize) -> Vec<f64> {
    (0..count).map(|i| ((i * 37 + salt * 11 + 5) % 23) as f64 / 7.0 - 1.5).collect()
}

/// The sum by its definition: a loop over every value of every label.
fn by_definition(
    terms: &[&str],
    output: &str,
    sizes: &BTreeMap<char, usize>,
    operands: &[Vec<f64>],
) -> Vec<f64> {
    let place = |term: &str, index: &BTreeMap<char, usize>| {
        term.chars().fold(0, |flat, label| flat * sizes[&label] + index[&label])
    };
    let mut result = vec![0.0; output.chars().map(|label| sizes[&label]).product()];
    let total: usize = sizes.values().product();
    for mut code in 0..total {
        let mut index = BTreeMap::new();
        for (label, size) in sizes {
            index.insert(*label, code % size);
            code /= size;
        }
        let factors = terms.iter().zip(operands).map(|(term, x)| x[place(term, &index)]);
        result[place(output, &index)] += factors.product::<f64>();
    }
    result
}

/// Each equation with `.` for the ellipsis spelt out: `P` and `Q` are hidden.
const EQUATIONS: [(&str, &[&str], &str); 15] = [
    ("i->", &["i"], ""),
    ("ij,jk->ki", &["ij", "jk"], "ki"),
    ("ij,ij->ij", &["ij", "ij"], "ij"),
    ("ij,kl", &["ij", "kl"], "ijkl"),
    ("iji->j", &["iji"], "j"),
    ("iii", &["iii"], ""),
    ("iijj->ji", &["iijj"], "ji"),
    ("ab,bc,cd->ad", &["ab", "bc", "cd"], "ad"),
    ("ab,bc,cd,da", &["ab", "bc", "cd", "da"], ""),
    ("i,i,i->i", &["i", "i", "i"], "i"),
    ("bij , bjk -> bik", &["bij", "bjk"], "bik"),
    ("i...,...j->...ij", &["iPQ", "PQj"], "PQij"),
    ("...i,i...", &["PQi", "iQ"], "PQ"),
    ("...ij,jk->ki", &["Pij", "jk"], "ki"),
    ("zA,aZ", &["zA", "aZ"], "AZaz"),
];

#[test]
fn einstein_sums_by_definition() {
    for (equation, terms, output) in EQUATIONS {
        let mut sizes = BTreeMap::new();
        for label in terms.concat().chars() {
            sizes.insert(label, 2 + label as usize % 3);
        }
        let shapes: Vec<Vec<usize>> =
            terms.iter().map(|term| term.chars().map(|label| sizes[&label]).collect()).collect();
        let operands: Vec<_> =
            (0..terms.len()).map(|i| values(shapes[i].iter().product(), i)).collect();
        let inputs: Vec<(&[usize], &[f64])> =
            shapes.iter().zip(&operands).map(|(shape, x)| (&shape[..], &x[..])).collect();
        let found = evaluate(&inputs, |g, x| {
            let y = g.einsum(equation, x).unwrap_or_else(|error| panic!("{error}"));
            let shape: Vec<_> = output.chars().map(|label| sizes[&label]).collect();
            assert_eq!(g.shape(y), shape, "{equation}");
            y
        });
        assert_close(&found, &by_definition(terms, output, &sizes, &operands));
    }
}

#[test]
fn equations_that_do_not_fit_are_refused() {
    let graph = Graph::new(DType::F64);
    let matrix = graph.input("matrix", DType::F64, &[2, 3]).expect("an input");
    let vector = graph.input("vector", DType::F64, &[2]).expect("an input");
    for equation in [
        "i,i",
        "ij",
        "ij,i,i",
        "ijk,i",
        "ii,i",
        "ij,j",
        "ij,i->k",
        "ij,i->jj",
        "ij,i->i->j",
        "i.j,i",
        "..ij,i",
        "i...j...,i",
        "i1,i",
        "ij;i",
        "",
    ] {
        assert!(graph.einsum(equation, &[matrix, vector]).is_err(), "{equation}");
    }
    assert!(graph.einsum("", &[]).is_err());
}

/// PyTorch's shapes of `matmul`, the zero-size ones among them.
#[test]
fn matrix_products_have_the_shapes_they_should() {
    let cases: [(&[usize], &[usize], Option<&[usize]>); 16] = [
        (&[4], &[4], Some(&[])),
        (&[2, 4], &[4], Some(&[2])),
        (&[4], &[4, 3], Some(&[3])),
        (&[2, 0], &[0, 3], Some(&[2, 3])),
        (&[5, 2, 0], &[0, 3], Some(&[5, 2, 3])),
        (&[0, 0], &[5, 0, 0], Some(&[5, 0, 0])),
        (&[0], &[0], Some(&[])),
        (&[5, 2, 4], &[4], Some(&[5, 2])),
        (&[4], &[6, 5, 4, 2], Some(&[6, 5, 2])),
        (&[2, 4], &[5, 4, 3], Some(&[5, 2, 3])),
        (&[5, 2, 4], &[1, 4, 3], Some(&[5, 2, 3])),
        (&[1, 2, 4], &[5, 4, 3], Some(&[5, 2, 3])),
        (&[6, 1, 2, 4], &[5, 4, 3], Some(&[6, 5, 2, 3])),
        (&[], &[4], None),
        (&[3, 2, 4], &[2, 4, 3], None),
        (&[2, 4], &[3], None),
    ];
    let graph = Graph::new(DType::F64);
    for (i, (a, b, expected)) in cases.into_iter().enumerate() {
        let left = graph.input(&format!("a{i}"), DType::F64, a).expect("an input");
        let right = graph.input(&format!("b{i}"), DType::F64, b).expect("an input");
        let product = graph.matrix_product(left, right).ok().map(|y| graph.shape(y));
        assert_eq!(product.as_deref(), expected, "{a:?} × {b:?}");
    }
}

#[test]
fn batches_that_stretch_multiply_by_definition() {
    let (a, b) = (values(2 * 3 * 2, 1), values(3 * 2 * 4, 2));
    let found = evaluate(&[(&[2, 1, 3, 2], &a), (&[3, 2, 4], &b)], |g, x| {
        g.matrix_product(x[0], x[1]).expect("a product")
    });
    let mut expected = Vec::new();
    for (p, q, i, j) in (0..2 * 3 * 3 * 4).map(|n| (n / 36, n / 12 % 3, n / 4 % 3, n % 4)) {
        expected.push((0..2).map(|k| a[p * 6 + i * 2 + k] * b[q * 8 + k * 4 + j]).sum());
    }
    assert_close(&found, &expected);
}

/// Four heads of queries share two of keys and values, the neighbours one.
#[test]
fn grouped_heads_are_shared_by_neighbours() {
    let (q, k, v) = (values(4 * 2 * 3, 1), values(2 * 5 * 3, 2), values(2 * 5 * 2, 3));
    let inputs: [(&[usize], &[f64]); 3] = [(&[4, 2, 3], &q), (&[2, 5, 3], &k), (&[2, 5, 2], &v)];
    let found = evaluate(&inputs, |g, x| {
        let options = Attention { grouped: true, causal: true, ..Attention::default() };
        g.scaled_dot_product_attention(x[0], x[1], x[2], &options).expect("attention")
    });
    let mut expected = Vec::new();
    for (head, query) in (0..8).map(|n| (n / 2, n % 2)) {
        let shared = head / 2;
        let score = |key: usize| {
            (0..3).map(|e| q[head * 6 + query * 3 + e] * k[shared * 15 + key * 3 + e]).sum::<f64>()
        };
        let weight = |key: usize| (score(key) / 3f64.sqrt()).exp();
        let total: f64 = (0..=query).map(weight).sum();
        for e in 0..2 {
            let sum = (0..=query).map(|key| weight(key) * v[shared * 10 + key * 2 + e]);
            expected.push(sum.sum::<f64>() / total);
        }
    }
    assert_close(&found, &expected);
    let graph = Graph::new(DType::F64);
    let q = graph.input("q", DType::F64, &[4, 2, 3]).expect("an input");
    let k = graph.input("k", DType::F64, &[3, 2, 3]).expect("an input");
    let m = graph.input("m", DType::F64, &[2, 3]).expect("an input");
    let options = Attention { grouped: true, ..Attention::default() };
    assert!(graph.scaled_dot_product_attention(q, k, k, &options).is_err());
    assert!(graph.scaled_dot_product_attention(m, m, m, &options).is_err());
    assert!(graph.scaled_dot_product_attention(q, k, k, &Attention::default()).is_err());
}

#[test]
fn impossible_reductions_and_losses_are_refused() {
    let graph = Graph::new(DType::F64);
    let x = graph.input("x", DType::F64, &[2, 3]).expect("an input");
    let none = graph.input("none", DType::F64, &[0]).expect("an input");
    let scalar = graph.input("scalar", DType::F64, &[]).expect("an input");
    let classes = graph.input("classes", DType::I32, &[3]).expect("an input");
    for axes in [&[2][..], &[0, 0], &[0, 1, 2]] {
        assert!(graph.min(x, axes).is_err());
        assert!(graph.product(x, axes).is_err());
        assert!(graph.variance(x, axes, 1.0).is_err());
        assert!(graph.standard_deviation(x, axes, 1.0).is_err());
        assert!(graph.log_sum_exp(x, axes).is_err());
        assert!(graph.normalize(x, 2.0, axes, 1e-12).is_err());
        for order in [0.0, 0.5, 1.0, 2.0, f64::INFINITY] {
            assert!(graph.vector_norm(x, order, axes).is_err());
        }
    }
    assert!(graph.vector_norm(x, f64::NAN, &[0]).is_err());
    for order in [-1.0, f64::INFINITY, f64::NEG_INFINITY] {
        assert!(graph.vector_norm(none, order, &[0]).is_err());
    }
    assert!(graph.cosine_similarity(x, x, 2, 1e-8).is_err());
    assert!(graph.cosine_similarity(scalar, scalar, 0, 1e-8).is_ok());
    let plain = ClassLoss::default();
    // Three targets for two samples, floats of another shape, no classes.
    assert!(graph.cross_entropy(x, classes, &plain).is_err());
    assert!(graph.cross_entropy(x, scalar, &plain).is_err());
    assert!(graph.cross_entropy(scalar, scalar, &plain).is_err());
    assert!(graph.negative_log_likelihood(x, x, &plain).is_err());
    for smoothing in [-0.1, 1.1, f64::NAN] {
        let options = ClassLoss { smoothing, ..plain };
        assert!(graph.cross_entropy(x, x, &options).is_err());
    }
    assert!(graph.cross_entropy(x, x, &ClassLoss { weight: Some(none), ..plain }).is_err());
    for bad in [0.0, -1.0, f64::NAN] {
        assert!(graph.huber(x, x, bad, Reduction::Mean).is_err());
    }
    assert!(graph.smooth_l1(x, x, -1.0, Reduction::Mean).is_err());
    assert!(graph.focal(x, x, None, -1.0, Reduction::Mean).is_err());
    assert!(graph.addmm(x, x, x, 1.0, 1.0).is_err());
    assert!(graph.outer(scalar, x).is_err());
}
