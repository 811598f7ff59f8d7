//! Compiles src/opened.c, and links it although nothing refers to it.

fn main() {
    println!("cargo::rerun-if-changed=src/opened.c");
    for object in cc::Build::new().file("src/opened.c").compile_intermediates() {
        println!("cargo::rustc-link-arg-bins={}", object.display());
    }
}
