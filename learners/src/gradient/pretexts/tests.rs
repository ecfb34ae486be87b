use super::*;
use speck_engine::{DType, Options, Program, State, Tensor, TensorType};
use speck_models::settings::{Value, resolve};

/// What a pretext builds of screens with these settings, for the linear model, whose
/// features are its outputs.
pub(super) fn sited<T>(
    graph: &Graph,
    given: &[(&str, Value)],
    image: NodeId,
    build: impl FnOnce(&Site<'_>) -> T,
) -> T {
    let words = TensorType::new(DType::I32, &[2]);
    let seed = graph.state_of("seed", &words, Initial::Constant(0.0)).unwrap();
    let counter = TensorType::new(DType::I32, &[]);
    let step = graph.state_of("step", &counter, Initial::Constant(0.0)).unwrap();
    let given: Vec<_> = given.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
    let settings = resolve(crate::find("gradient").unwrap().dimensions, &given).unwrap();
    let linear = speck_models::find("linear").unwrap();
    let model = (linear.make)(&resolve(linear.dimensions, &[]).unwrap()).unwrap();
    let (settings, model) = (&settings, &*model);
    build(&Site { graph, settings, model, image, seed, step, built: RefCell::default() })
}

#[test]
fn screens_are_moved_and_their_edges_stay() {
    let graph = Graph::new(DType::F64);
    let (samples, channels, size) = (3, 2, 5);
    let count = samples * channels * size * size;
    let ty = TensorType::new(DType::F64, &[samples, channels, size, size]);
    let values: Vec<f64> = (0..count).map(|i| i as f64).collect();
    let image = graph.constant(Tensor::new(&ty, &values)).unwrap();
    let by = [[0.0, 1.0, -2.0], [0.0, -1.0, 3.0]];
    let list = TensorType::new(DType::F64, &[samples]);
    let nodes = by.map(|by| graph.constant(Tensor::new(&list, &by)).unwrap());
    sited(&graph, &[], image, |site| {
        graph.output("moved", site.shifted(image, nodes).unwrap()).unwrap();
        graph.output("draws", site.shifts(2).unwrap()).unwrap();
    });
    let mut program = Program::compile(&graph, &Options::default()).unwrap();
    let mut state = State::initialise(&graph, 0);
    program.run(&mut state).unwrap();
    let moved = program.values::<f64>("moved").unwrap();
    let inside = |at: f64| at.clamp(0.0, (size - 1) as f64) as usize;
    for (index, found) in moved.iter().enumerate() {
        let (column, row) = (index % size, index / size % size);
        let (plane, sample) = (index / (size * size), index / (size * size * channels));
        let from = [row, column].into_iter().zip(by).map(|(at, by)| inside(at as f64 - by[sample]));
        let [row, column] = from.collect::<Vec<_>>()[..] else { panic!("two") };
        assert_eq!(*found, values[(plane * size + row) * size + column], "{index}");
    }
    let mut seen = std::collections::BTreeSet::new();
    for number in 0..40 {
        state.set("step", Tensor::from_i32(&[], vec![number])).unwrap();
        program.run(&mut state).unwrap();
        seen.extend(program.values::<f64>("draws").unwrap().iter().map(|draw| *draw as i32));
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [-2, -1, 0, 1, 2]);
}
