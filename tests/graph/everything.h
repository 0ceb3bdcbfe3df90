// A model for round trips.
#pragma once

namespace mc {

// One of everything that the text form can say, and a sound model too. The unknown fields are well-formed
// fields of protobuf; "3a00" is an opaque type.
inline constexpr const char* kEverything = R"(
<
   ir_version: 10, opset_import: ["" : 21, "com.acme" : 1, "my funcs" : 2],
   producer_name: "p \"q\" \\", producer_version: "1", domain: "d", model_version: 3,
   doc_string: "two
lines", metadata_props: ["k": "v", "": ""], unknown_fields: "a20601ff"
>
"main graph" @<doc_string: "g", metadata_props: ["a": "b"], unknown_fields: "a206020000",
   quantization_annotation: [["w", "SCALE_TENSOR": "s"], ["x"]]>
(float[N,3]@"IMAGE" x @<doc_string: "in">, seq(float[]) s, map(string, int64) m, optional(seq(int32[2])) o,
 sparse_tensor(float[4]) sp, opaque()@<unknown_fields: "3a00"> q, untyped, float[2] d = {1, 2})
=> (float["N*2"@"DATA_BATCH",?,4] y, bool "out/1")
<
   float16[2] info @<metadata_props: ["i": "j"]>,
   float[2,2] w = {1, -2.5, 1e-07, 3e+20} @<doc_string: "wd", metadata_props: ["mc.role": "weight"]>,
   float[5] specials = {nan, -nan, inf, -inf, nan(0x7fc01234)},
   double[2] doubles = {0.1, nan(0x7ff8000000000001)},
   int8[2] i8 = {-128, 127}, uint64[1] u64 = {18446744073709551615}, int4[3] i4 = {-8, 7, 1},
   uint2[5] u2 = {0, 1, 2, 3, 1}, float6e2m3[5] f6 = {1, 2, 63, 4, 5}, bool[2] b = {0, 1},
   float16[2] half = {15360, 1.0}, complex64[1] c64 = {1, 2}, complex128[1] c128 = {3, 4},
   string[2] strs = {"a", "q\"\\"}, float[0] nothing = {}, int64 scalar = {5},
   sparse_tensor(float[9]) spi = {float[2] spi {1, 2}, int64[2] {0, 4}}
>
{
   [n1] h = Relu(x)   # a comment
   ["n/2"] y, "", "out/1" = com.acme.Op:over <a = 1, f: float = 2, s = "t", l: ints = [], t: tensor = float[1] nm {1},
      ts = [int64[1] {1}, float {2}], fs = [1.5, nan], ss = ["a", "b"], ty: type_proto = seq(float[N]),
      tys: type_protos = [float[], bool], doc @<doc_string: "d", unknown_fields: "a80601"> = 3,
      sa = sparse_tensor(float[3]) = {float[1] {1}, int64[1] {2}}, "odd name" = 1> (h, "", x)
      @<doc_string: "nd", metadata_props: ["mc.sources": "a,b"], unknown_fields: "52020a00">
   z = If (b) <then_branch: graph = t () => (float[2] r) <float k = {1}> { r = Neg(h) },
               gs = [g1 () => () {}, g2 () => () {}]>
   = "my funcs".Sink(z)
}
<domain: "my funcs", opset_import: ["" : 21], doc_string: "f", overload: "o", metadata_props: ["x": "y"]>
Sink <alpha, beta: float = 1> (i) => (r) <float[2] i>
{ r = LeakyRelu <alpha: float = @alpha, untyped = @beta> (i) }
)";

}  // namespace mc
