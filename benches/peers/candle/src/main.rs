//! Training steps in candle. Speaks the protocol of protocol.py: a line `WORK SECONDS` in,
//! a line of JSON with the milliseconds of every step out; no times for a work it has not.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::optim::{AdamW, Optimizer, ParamsAdamW};
use candle_nn::{Conv2dConfig, Module, VarBuilder, VarMap, conv2d, linear, loss, seq};
use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::time::Instant;

const SIDE: usize = 64;

/// A model with its screens and optimizer.
struct Work {
    model: Box<dyn Module>,
    optimizer: AdamW,
    screens: Tensor,
    rows: Tensor,
    columns: Tensor,
}

fn mlp(vb: VarBuilder) -> Result<Box<dyn Module>> {
    let model = seq()
        .add_fn(|x| x.flatten_from(1))
        .add(linear(3 * SIDE * SIDE, 512, vb.pp("0"))?)
        .add_fn(|x| x.relu())
        .add(linear(512, 256, vb.pp("1"))?)
        .add_fn(|x| x.relu())
        .add(linear(256, 2 * SIDE, vb.pp("2"))?);
    Ok(Box::new(model))
}

fn cnn(vb: VarBuilder) -> Result<Box<dyn Module>> {
    let padded = Conv2dConfig { padding: 1, ..Conv2dConfig::default() };
    let mut model = seq();
    let mut inputs = 3;
    for (i, outputs) in [32, 64, 128].into_iter().enumerate() {
        model = model
            .add(conv2d(inputs, outputs, 3, padded, vb.pp(i.to_string()))?)
            .add_fn(|x| x.relu()?.max_pool2d(2));
        inputs = outputs;
    }
    let model = model.add_fn(|x| x.flatten_from(1)).add(linear(8192, 2 * SIDE, vb.pp("head"))?);
    Ok(Box::new(model))
}

impl Work {
    fn new(name: &str) -> Result<Option<Work>> {
        type Make = fn(VarBuilder) -> Result<Box<dyn Module>>;
        let (make, batch): (Make, usize) = match name {
            "mlp" => (mlp, 256),
            "mlp32" => (mlp, 32),
            "cnn" => (cnn, 64),
            "cnn256" => (cnn, 256),
            _ => return Ok(None),
        };
        let device = Device::Cpu;
        let variables = VarMap::new();
        let model = make(VarBuilder::from_varmap(&variables, DType::F32, &device))?;
        // Adam: no decay.
        let form = ParamsAdamW { lr: 1e-3, weight_decay: 0.0, ..ParamsAdamW::default() };
        let optimizer = AdamW::new(variables.all_vars(), form)?;
        let places = |step: usize| (0..batch).map(move |i| (i * step + 5) % SIDE);
        let mut values = vec![0f32; batch * 3 * SIDE * SIDE];
        for (sample, (row, column)) in places(7).zip(places(11)).enumerate() {
            for channel in 0..3 {
                values[((sample * 3 + channel) * SIDE + row) * SIDE + column] = 1.0;
            }
        }
        let labels = |step| Tensor::from_iter(places(step).map(|place| place as u32), &device);
        Ok(Some(Work {
            model,
            optimizer,
            screens: Tensor::from_vec(values, (batch, 3, SIDE, SIDE), &device)?,
            rows: labels(7)?,
            columns: labels(11)?,
        }))
    }

    fn step(&mut self) -> Result<()> {
        let output = self.model.forward(&self.screens)?;
        let rows = loss::cross_entropy(&output.narrow(1, 0, SIDE)?.contiguous()?, &self.rows)?;
        let columns =
            loss::cross_entropy(&output.narrow(1, SIDE, SIDE)?.contiguous()?, &self.columns)?;
        self.optimizer.backward_step(&(rows + columns)?)
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut ready: HashMap<String, Option<Work>> = HashMap::new();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (name, seconds) = line.split_once(' ').ok_or("a line is `WORK SECONDS`")?;
        let seconds: f64 = seconds.parse()?;
        if !ready.contains_key(name) {
            let mut work = Work::new(name)?;
            if let Some(work) = &mut work {
                work.step()?;
            }
            ready.insert(name.to_owned(), work);
        }
        let mut times = Vec::new();
        if let Some(Some(work)) = ready.get_mut(name) {
            let start = Instant::now();
            while start.elapsed().as_secs_f64() < seconds || times.len() < 3 {
                let before = Instant::now();
                work.step()?;
                times.push(before.elapsed().as_secs_f64() * 1e3);
            }
        }
        println!("{}", serde_json::json!({ "work": name, "ms": times }));
        std::io::stdout().flush()?;
    }
    Ok(())
}
