//! Training steps in burn on its ndarray backend. Speaks the protocol of protocol.py: a line
//! `WORK SECONDS` in, a line of JSON with the milliseconds of every step out; no times for a
//! work it has not.

use burn::backend::{Autodiff, NdArray};
use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{Linear, LinearConfig, PaddingConfig2d};
use burn::optim::{AdamConfig, GradientsParams, Optimizer};
use burn::tensor::activation::relu;
use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor, TensorData};
use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead, Write};
use std::time::Instant;

const SIDE: usize = 64;
type Cpu = Autodiff<NdArray<f32>>;

/// Convolutions, each followed by ReLU and pooling, then linear layers.
#[derive(Module, Debug)]
struct Network<B: Backend> {
    convolutions: Vec<Conv2d<B>>,
    layers: Vec<Linear<B>>,
    pool: MaxPool2d,
}

impl<B: Backend> Network<B> {
    fn new(channels: &[usize], widths: &[usize], device: &B::Device) -> Self {
        let convolutions = channels.windows(2).map(|pair| {
            Conv2dConfig::new([pair[0], pair[1]], [3, 3])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .init(device)
        });
        let layers = widths.windows(2).map(|pair| LinearConfig::new(pair[0], pair[1]).init(device));
        Network {
            convolutions: convolutions.collect(),
            layers: layers.collect(),
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
        }
    }

    fn forward(&self, screens: Tensor<B, 4>) -> Tensor<B, 2> {
        let mut maps = screens;
        for convolution in &self.convolutions {
            maps = self.pool.forward(relu(convolution.forward(maps)));
        }
        let mut values = maps.flatten(1, 3);
        for (i, layer) in self.layers.iter().enumerate() {
            values = layer.forward(values);
            if i + 1 < self.layers.len() {
                values = relu(values);
            }
        }
        values
    }
}

/// A step of one work.
type Step = Box<dyn FnMut()>;

fn prepare(name: &str) -> Option<Step> {
    let (channels, widths, batch): (&[usize], &[usize], usize) = match name {
        "mlp" => (&[], &[3 * SIDE * SIDE, 512, 256, 2 * SIDE], 256),
        "mlp32" => (&[], &[3 * SIDE * SIDE, 512, 256, 2 * SIDE], 32),
        "cnn" => (&[3, 32, 64, 128], &[8192, 2 * SIDE], 64),
        "cnn256" => (&[3, 32, 64, 128], &[8192, 2 * SIDE], 256),
        _ => return None,
    };
    let device = Default::default();
    let mut model = Some(Network::<Cpu>::new(channels, widths, &device));
    let mut optimizer = AdamConfig::new().init();
    let criterion = CrossEntropyLossConfig::new().init(&device);
    let places = |step: usize| (0..batch).map(move |i| (i * step + 5) % SIDE);
    let mut values = vec![0f32; batch * 3 * SIDE * SIDE];
    for (sample, (row, column)) in places(7).zip(places(11)).enumerate() {
        for channel in 0..3 {
            values[((sample * 3 + channel) * SIDE + row) * SIDE + column] = 1.0;
        }
    }
    let screens = Tensor::<Cpu, 4>::from_data(TensorData::new(values, [batch, 3, SIDE, SIDE]), &device);
    let labels = |step| {
        let values: Vec<i64> = places(step).map(|place| place as i64).collect();
        Tensor::<Cpu, 1, Int>::from_data(TensorData::new(values, [batch]), &device)
    };
    let (rows, columns) = (labels(7), labels(11));
    Some(Box::new(move || {
        let Some(network) = model.take() else { return };
        let output = network.forward(screens.clone());
        let loss = criterion.forward(output.clone().narrow(1, 0, SIDE), rows.clone())
            + criterion.forward(output.narrow(1, SIDE, SIDE), columns.clone());
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        model = Some(optimizer.step(1e-3, network, gradients));
    }))
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut ready: HashMap<String, Option<Step>> = HashMap::new();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (name, seconds) = line.split_once(' ').ok_or("a line is `WORK SECONDS`")?;
        let seconds: f64 = seconds.parse()?;
        let step = ready.entry(name.to_owned()).or_insert_with(|| prepare(name));
        let mut times = Vec::new();
        if let Some(step) = step {
            let start = Instant::now();
            while start.elapsed().as_secs_f64() < seconds || times.len() < 3 {
                let before = Instant::now();
                step();
                times.push(before.elapsed().as_secs_f64() * 1e3);
            }
        }
        println!("{}", serde_json::json!({ "work": name, "ms": times }));
        std::io::stdout().flush()?;
    }
    Ok(())
}
