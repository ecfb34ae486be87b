//! Reads `shaders/*.wgsl`: each is parsed and validated, held to the limits that
//! every WebGPU device has, and described in Rust, so that what the host passes
//! and what a shader takes cannot drift apart. A shader that is wrong stops the
//! build with naga's message.
//!
//! A shader is written to these rules, all checked here:
//! - one compute entry point `main` with a literal workgroup size;
//! - binding 0 of group 0 is `var<uniform> params`, a struct of `u32`, `i32`,
//!   `f32` and arrays of `vec4<u32>`; storage bindings follow without gaps, the
//!   ones that are read first;
//! - what changes the code is an `override`; numbers that the host must know are
//!   `const` of type `u32`.

use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, ArraySize, Module, ScalarKind, StorageAccess, TypeInner};
use std::fmt::Write;
use std::path::Path;

/// The limits of a WebGPU device that promises no more than it must.
const MOST_STORAGE: usize = 8;
const MOST_INVOCATIONS: u32 = 256;
const MOST_WORKGROUP_BYTES: u32 = 16 << 10;

fn main() {
    // Asked for when it runs: a build folder may serve another checkout later.
    let own = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let root = Path::new(&own).join("../shaders");
    println!("cargo::rerun-if-changed={}", root.display());
    let entries = std::fs::read_dir(&root).expect("the folder of shaders");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "wgsl"));
    paths.sort();
    let mut code = String::new();
    let mut names = Vec::new();
    for path in &paths {
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a name");
        match describe(name, path) {
            Ok(text) => code += &text,
            Err(message) => panic!("{}: {message}", path.display()),
        }
        names.push(name);
    }
    writeln!(code, "/// All shaders, by name.\npub static ALL: &[&Shader] = &[").unwrap();
    for name in names {
        writeln!(code, "    &{name}::SHADER,").unwrap();
    }
    code += "];\n";
    let out = std::env::var("OUT_DIR").expect("cargo sets it");
    std::fs::write(Path::new(&out).join("shaders.rs"), code).expect("a writable folder");
}

/// What the shader needs beyond what every device has: the least set with which it
/// is valid.
fn validate(module: &Module) -> Result<(ModuleInfo, &'static str), String> {
    let sets = [
        (Capabilities::empty(), "Needs::NOTHING"),
        (Capabilities::SUBGROUP, "Needs { subgroups: true, f16: false }"),
        (Capabilities::SHADER_FLOAT16, "Needs { subgroups: false, f16: true }"),
        (
            Capabilities::SUBGROUP.union(Capabilities::SHADER_FLOAT16),
            "Needs { subgroups: true, f16: true }",
        ),
    ];
    let mut first = None;
    for (capabilities, text) in sets {
        let mut validator = Validator::new(ValidationFlags::all(), capabilities);
        validator.subgroup_stages(naga::valid::ShaderStages::COMPUTE);
        validator.subgroup_operations(naga::valid::SubgroupOperationSet::all());
        match validator.validate(module) {
            Ok(info) => return Ok((info, text)),
            Err(error) => first = first.or(Some(error)),
        }
    }
    Err(first.map(|error| format!("{error:?}")).unwrap_or_default())
}

fn describe(name: &str, path: &Path) -> Result<String, String> {
    let source = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let module = naga::front::wgsl::parse_str(&source)
        .map_err(|error| error.emit_to_string_with_path(&source, &path.display().to_string()))?;
    let (_, needs) = validate(&module)?;
    let [entry] = module.entry_points.as_slice() else {
        return Err("a shader has one entry point".to_owned());
    };
    if entry.name != "main" || entry.workgroup_size_overrides.is_some() {
        return Err("the entry point is `main`, its workgroup size written out".to_owned());
    }
    let size = entry.workgroup_size;
    if size.iter().product::<u32>() > MOST_INVOCATIONS {
        return Err(format!("a workgroup of {size:?} has more than {MOST_INVOCATIONS}"));
    }
    let workgroup = workgroup_bytes(&module);
    if workgroup > MOST_WORKGROUP_BYTES {
        return Err(format!(
            "{workgroup} bytes of workgroup memory: {MOST_WORKGROUP_BYTES} are sure"
        ));
    }

    let mut text = String::new();
    // Enabled features come before the first comment.
    let doc = source.lines().find(|line| line.starts_with("//")).unwrap_or_default();
    let doc = doc.trim_start_matches('/').trim();
    writeln!(text, "/// {doc}\npub mod {name} {{\n    use super::*;\n").unwrap();
    let (params, access) = bindings(&module)?;
    writeln!(
        text,
        "    /// `shaders/{name}.wgsl`.\n    pub static SHADER: Shader = Shader {{\n        \
         name: {name:?},\n        source: include_str!({path:?}),\n        \
         workgroup: {size:?},\n        writes: &{access:?},\n        needs: {needs},\n    }};\n",
        path = path.canonicalize().map_err(|error| error.to_string())?,
    )
    .unwrap();
    for constant in module.overrides.iter().filter_map(|(_, constant)| constant.name.as_ref()) {
        writeln!(
            text,
            "    /// The override of this name.\n    pub const {constant}: &str = {constant:?};"
        )
        .unwrap();
    }
    let mut numbers = String::new();
    for (_, constant) in module.constants.iter() {
        let Some(name) = &constant.name else { continue };
        let naga::Expression::Literal(naga::Literal::U32(value)) =
            module.global_expressions[constant.init]
        else {
            continue;
        };
        writeln!(text, "    /// The constant of this name.\n    pub const {name}: u32 = {value};")
            .unwrap();
        write!(numbers, "({name:?}, {value}), ").unwrap();
    }
    writeln!(text, "    /// All constants.\n    pub const NUMBERS: &[(&str, u32)] = &[{numbers}];")
        .unwrap();
    text += &params;
    text += "}\n\n";
    Ok(text)
}

fn workgroup_bytes(module: &Module) -> u32 {
    let context = module.to_ctx();
    let shared = module.global_variables.iter();
    let shared = shared.filter(|(_, variable)| variable.space == AddressSpace::WorkGroup);
    shared.map(|(_, variable)| module.types[variable.ty].inner.size(context)).sum()
}

/// The struct of the parameters in Rust, and for each storage binding whether it is
/// written.
fn bindings(module: &Module) -> Result<(String, Vec<bool>), String> {
    let mut found: Vec<_> = module
        .global_variables
        .iter()
        .filter_map(|(_, variable)| variable.binding.map(|binding| (binding, variable)))
        .collect();
    found.sort_by_key(|(binding, _)| (binding.group, binding.binding));
    let mut params = None;
    let mut writes = Vec::new();
    for (place, (binding, variable)) in found.iter().enumerate() {
        if binding.group != 0 || binding.binding as usize != place {
            return Err("bindings are numbered from 0 on, in group 0".to_owned());
        }
        match variable.space {
            AddressSpace::Uniform if place == 0 => params = Some(variable.ty),
            AddressSpace::Storage { access } if place > 0 => {
                writes.push(access.contains(StorageAccess::STORE));
            }
            _ => return Err(format!("binding {place} is of an unforeseen kind")),
        }
    }
    if writes.len() > MOST_STORAGE {
        return Err(format!("{} storage bindings: {MOST_STORAGE} are sure", writes.len()));
    }
    let params = params.ok_or("binding 0 is `var<uniform> params`")?;
    let TypeInner::Struct { members, span } = &module.types[params].inner else {
        return Err("the parameters are a struct".to_owned());
    };
    let mut fields = String::new();
    let mut stores = String::new();
    for member in members {
        let name = member.name.as_deref().unwrap_or("_");
        let offset = member.offset;
        let scalar = |kind: ScalarKind| match kind {
            ScalarKind::Float => Some("f32"),
            ScalarKind::Uint => Some("u32"),
            ScalarKind::Sint => Some("i32"),
            _ => None,
        };
        let ty = match &module.types[member.ty].inner {
            TypeInner::Scalar(value) => scalar(value.kind).map(str::to_owned),
            TypeInner::Array { base, size: ArraySize::Constant(size), .. } => {
                match &module.types[*base].inner {
                    TypeInner::Vector { size: naga::VectorSize::Quad, scalar: value } => {
                        scalar(value.kind).map(|ty| format!("[{ty}; {}]", 4 * size.get()))
                    }
                    _ => None,
                }
            }
            _ => None,
        };
        let ty = ty.ok_or_else(|| format!("the parameter `{name}` is of an unforeseen type"))?;
        writeln!(fields, "        /// The parameter of this name.\n        pub {name}: {ty},")
            .unwrap();
        let value =
            if ty.starts_with('[') { format!("self.{name}") } else { format!("[self.{name}]") };
        writeln!(
            stores,
            "            store(&mut bytes, {offset}, &{value}.map(|v| v.to_le_bytes()));"
        )
        .unwrap();
    }
    let text = format!(
        "\n    /// The shader's parameters.\n    #[derive(Clone, Copy, Debug, Default)]\n    pub struct Params {{\n{fields}    }}\n\n    \
         impl Parameters for Params {{\n        fn bytes(&self) -> Vec<u8> {{\n            \
         let mut bytes = vec![0; {span}];\n{stores}            bytes\n        }}\n    }}\n"
    );
    Ok((text, writes))
}
