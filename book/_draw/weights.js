/**
 * Read a network's file, as helpers/weights.py writes it.
 *
 * On the site each file is a script that hands over its bytes in base64: unlike what `fetch` would
 * get, a script may also be read from a folder on the reader's own disk (file://).
 */

import { tensor } from "./layers.js";

/** Where the scripts in _static/networks/ leave their files, by name. */
const received = {};
globalThis.networkFiles = received;

/**
 * Return `{ header, arrays }` of the network called `name`; `arrays` are tensors by name.
 *
 * `folder` is the address of _static/networks/. The promise is rejected with an Error whose message
 * ends a sentence that begins with the network's name.
 */
export async function load(name, folder) {
  const missing = new Error("its weights have not been published yet");
  // Which networks there are, the site says; a script that is not there would be an error.
  if (!(globalThis.publishedNetworks ?? [name]).includes(name)) throw missing;
  await new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = `${folder}${name}.js`;
    script.onload = resolve;
    script.onerror = () => reject(missing);
    document.head.append(script);
  });
  if (!received[name]) throw new Error("the file of its weights is damaged");
  return unpack(Uint8Array.from(atob(received[name]), (letter) => letter.charCodeAt(0)));
}

/** Return `{ header, arrays }` of a file's bytes; a damaged file is an Error. */
export async function unpack(file) {
  if (!globalThis.DecompressionStream) throw new Error("this browser is too old to unpack it");
  try {
    const content = await gunzip(file);
    const start = 4 + new DataView(content.buffer).getUint32(0, true);
    const header = JSON.parse(new TextDecoder().decode(content.subarray(4, start)));
    return { header, arrays: read(header.arrays, content.slice(start)) };
  } catch (error) {
    throw new Error("the file of its weights is damaged", { cause: error });
  }
}

/** Return what gzip has packed; its checksum tells a file of which a bit has changed. */
async function gunzip(file) {
  const stream = new Blob([file]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function read(described, payload) {
  const view = new DataView(payload.buffer);
  const arrays = {};
  let place = 0;
  for (const { name, shape, type } of described) {
    const array = tensor(shape);
    const perRow = array.data.length / shape[0];
    if (type === "int8") {
      const numbers = place + 4 * shape[0];
      array.data.forEach((_, i) => {
        const scale = view.getFloat32(place + 4 * Math.floor(i / perRow), true);
        array.data[i] = scale * view.getInt8(numbers + i);
      });
      place = numbers + array.data.length;
    } else {
      array.data.forEach((_, i) => {
        array.data[i] = half(view.getUint16(place + 2 * i, true));
      });
      place += 2 * array.data.length;
    }
    arrays[name] = array;
  }
  if (place !== payload.length) throw new Error("bytes are left over");
  return arrays;
}

/** Return the number whose sixteen bits, as a float16, are `bits`; infinity does not occur. */
function half(bits) {
  const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
  const size = exponent ? 2 ** (exponent - 25) * (1024 + fraction) : 2 ** -24 * fraction;
  return bits >> 15 ? -size : size;
}
