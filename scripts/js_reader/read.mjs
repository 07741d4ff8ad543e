// Reads GGUF files by Hugging Face's own parser; prints one JSON line for each file of the folder.
// Each text is given as the hex of its UTF-8, each number as text: JSON can carry neither whole.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { gguf } from "@huggingface/gguf";

const folder = process.argv[2];
const shown = (value) =>
  typeof value === "string" ? `s:${Buffer.from(value).toString("hex")}`
  : typeof value === "boolean" ? `n:${Number(value)}`
  : `n:${value}`;

for (const name of readdirSync(folder).sort()) {
  let line;
  try {
    const path = join(folder, name);
    const read = await gguf(path, { allowLocalFile: true, typedMetadata: true });
    const values = Object.entries(read.typedMetadata)
      .filter(([key]) => !["version", "tensor_count", "kv_count"].includes(key))
      .map(([key, { value, type, subType }]) => Array.isArray(value)
        ? [shown(key), subType ?? -1, true, value.map(shown)]
        : [shown(key), type, false, [shown(value)]]);
    const tensors = read.tensorInfos
      .map((one) => [shown(one.name), one.shape.map(String), one.dtype, String(one.offset)]);
    line = { name, values, tensors, start: String(read.tensorDataOffset) };
  } catch (error) {
    line = { name, error: String(error?.message ?? error).slice(0, 200) };
  }
  console.log(JSON.stringify(line));
}
