/** Lines to paste into each tool that reads a link, with the layer's complete address in them. */

import { regionOf } from "./picture.js";

const SAMPLE_SIDE = 64;

/**
 * The complete addresses of a layer; `base` ends with a slash, and what the server lists is percent-encoded already.
 * `webknossos` is null where that dialect has no words for the layer.
 */
export function addressesOf(layer, base) {
  const beside = base.replace(/\/zarr\/([^/]+)\/$/, "/data/annotations/zarr/$1/");
  return { v3: base + layer.v3, v2: base + layer.v2, webknossos: layer.webknossos ? beside + layer.webknossos : null };
}

/** `[{name, hint, code}]`, one for each tool; `hint` says what to install or where to paste. */
export function snippetsOf(layer, base) {
  const { v3, v2 } = addressesOf(layer, base);
  const { index, axes } = sampleOf(layer);
  return [
    {
      name: "zarr",
      hint: 'Python. Needs: pip install zarr "fsspec[http]"',
      code: [
        "import zarr",
        "",
        "group = zarr.open_group(",
        `    "${v3}",`,
        '    mode="r",',
        ")",
        `print(group["0"][${index}])   # ${axes}`,
      ].join("\n"),
    },
    {
      name: "tensorstore",
      hint: "Python. Needs: pip install tensorstore",
      code: [
        "import tensorstore as ts",
        "",
        "level0 = ts.open({",
        '    "driver": "zarr3",',
        `    "kvstore": "${v3}/0/",`,
        "}).result()",
        `print(level0[${index}].read().result())   # ${axes}`,
      ].join("\n"),
    },
    {
      name: "dask",
      hint: 'Python. Needs: pip install "dask[array]" zarr "fsspec[http]"',
      code: [
        "import dask.array as da",
        "",
        `volume = da.from_zarr("${v2}/0")`,
        `print(volume[${index}].compute())   # ${axes}`,
      ].join("\n"),
    },
    {
      name: "Neuroglancer",
      hint: `Press + to add a layer, paste this as its source and choose the type “${neuroglancerType(layer)}”.`,
      code: `zarr3://${v3}/`,
    },
    {
      name: "napari",
      hint: 'In a terminal. Needs: pip install "napari[all]" napari-ome-zarr',
      code: `napari --plugin napari-ome-zarr ${v2}/`,
    },
    {
      name: "Fiji",
      hint: "Plugins > BigDataViewer > HDF5/N5/Zarr/OME-NGFF Viewer: paste this address and press Detect datasets.",
      code: v2,
    },
  ];
}

function neuroglancerType(layer) {
  return layer.category === "segmentation" ? "segmentation" : "image";
}

/** The index of a small piece of level 0. From the middle of the box: the first voxels may lie before it, and read as 0. */
function sampleOf(layer) {
  const { z, y, x } = regionOf(layer, 0);
  const index = [String(Math.floor((z[0] + z[1]) / 2)), sliceText(y), sliceText(x)];
  const axes = ["z", "y", "x"];
  if (layer.channels > 1) {
    index.unshift(":");
    axes.unshift("c");
  }
  return { index: index.join(", "), axes: axes.join(", ") };
}

function sliceText([from, to]) {
  const side = Math.min(SAMPLE_SIDE, to - from);
  const start = Math.floor((from + to - side) / 2);
  return `${start}:${start + side}`;
}

/** The same as `{name, hint, code}` for WEBKNOSSOS's library, which reads what a link is to, and not the link: with a token. */
export function webknossosLines(api, { dataset, annotation }) {
  const imports = ["import os", "", "import webknossos as wk", ""];
  const signIn = `with wk.webknossos_context(url="${api}", token=os.environ["WK_TOKEN"]):`;
  const annotationLines = [
    `    annotation = wk.Annotation.download("${annotation}")`,
    "    print(list(annotation.get_volume_layer_names()))",
  ];
  const datasetLines = [`    dataset = wk.RemoteDataset.open(dataset_id="${dataset}")`, "    print(dataset.layers)"];
  return {
    name: "webknossos",
    hint: "Python, with your own token in WK_TOKEN instead of the link. Needs: pip install webknossos",
    code: [...imports, signIn, ...(annotation ? annotationLines : datasetLines)].join("\n"),
  };
}
