//! Operators that work element by element.

use super::Adapter;
use crate::conform::arguments::{Arguments, Problem};
use speck_engine::{Graph, GraphError, NodeId};

type Unary = fn(&Graph, NodeId) -> Result<NodeId, GraphError>;
type Binary = fn(&Graph, NodeId, NodeId) -> Result<NodeId, GraphError>;

fn one(call: &Arguments<'_>, build: Unary) -> Result<Vec<NodeId>, Problem> {
    Ok(vec![build(call.graph, call.input("input")?)?])
}

fn two(call: &Arguments<'_>, build: Binary) -> Result<Vec<NodeId>, Problem> {
    Ok(vec![build(call.graph, call.input("input")?, call.input("other")?)?])
}

pub(super) const ALL: &[(&str, Adapter)] = &[
    ("abs", |call| one(call, Graph::abs)),
    ("cos", |call| one(call, Graph::cos)),
    ("erf", |call| one(call, Graph::erf)),
    ("exp", |call| one(call, Graph::exp)),
    ("floor", |call| one(call, Graph::floor)),
    ("log", |call| one(call, Graph::log)),
    ("neg", |call| one(call, Graph::neg)),
    ("reciprocal", |call| one(call, Graph::reciprocal)),
    ("relu", |call| one(call, Graph::relu)),
    ("rsqrt", |call| one(call, Graph::rsqrt)),
    ("sigmoid", |call| one(call, Graph::sigmoid)),
    ("sign", |call| one(call, Graph::sign)),
    ("sin", |call| one(call, Graph::sin)),
    ("sqrt", |call| one(call, Graph::sqrt)),
    ("square", |call| one(call, Graph::square)),
    ("tanh", |call| one(call, Graph::tanh)),
    ("mul", |call| two(call, Graph::mul)),
    ("div", |call| two(call, Graph::div)),
    ("maximum", |call| two(call, Graph::maximum)),
    ("minimum", |call| two(call, Graph::minimum)),
    ("gt", |call| two(call, Graph::greater)),
    ("lt", |call| two(call, |graph, a, b| graph.greater(b, a))),
    ("eq", |call| two(call, Graph::equal)),
];
