/** Lines of Python for one dataset or annotation, which run as they stand. */

const SAMPLE_SIDE = 64;

/**
 * `[{name, hint, code}]`. `subject`: `{kind: "dataset" or "annotation", id, dataset}`; `server`: what its addresses begin with;
 * `layer` of the link's JSON with `ofAnnotation`, `box`, `mag` and `format`: what an export takes; `token`: to be written into the
 * lines, or null, to be read from WK_TOKEN.
 */
export function callsOf({ token, ...known }) {
  const secret = token === null ? 'os.environ["WK_TOKEN"]' : JSON.stringify(token);
  const imports = (...names) => [...(token === null ? ["import os"] : []), ...names.map((name) => `import ${name}`)].join("\n");
  const all = { ...known, secret, imports };
  if (known.subject.kind === "dataset") return [datasetByLibrary(all), zarrByLink(all), exportByRequests(all)];
  return [annotationByLibrary(all), downloadByRequests(all), zarrByLink(all), exportByRequests(all)];
}

function datasetByLibrary({ subject, server, layer, secret, imports }) {
  return {
    name: "webknossos",
    hint: "WEBKNOSSOS’s own library reads the voxels that are asked for, and no others. Needs: pip install webknossos",
    code: `${imports("webknossos as wk")}

with wk.webknossos_context(url=${quoted(server)}, token=${secret}):
    dataset = wk.RemoteDataset.open(dataset_id=${quoted(subject.id)})
    layer = dataset.get_layer(${quoted(layer.name)})
    print(layer.bounding_box)
    voxels = layer.get_finest_mag().read(
        absolute_offset=layer.bounding_box.topleft,
        size=(${SAMPLE_SIDE}, ${SAMPLE_SIDE}, 1),
    )   # c, x, y, z`,
  };
}

function annotationByLibrary({ subject, server, secret, imports }) {
  return {
    name: "webknossos",
    hint: "WEBKNOSSOS’s own library downloads the annotation, or reads what was painted over its dataset. Needs: pip install webknossos",
    code: `${imports("webknossos as wk")}

with wk.webknossos_context(url=${quoted(server)}, token=${secret}):
    annotation = wk.Annotation.download(${quoted(subject.id)})
    print(annotation.name, len(list(annotation.skeleton.flattened_trees())), "trees")${subject.dataset === null ? "" : overItsDataset(subject)}`,
  };
}

function overItsDataset({ id }) {
  return `
    dataset = wk.Annotation.open_as_remote_dataset(${quoted(id)})
    print(list(dataset.layers))`;
}

function downloadByRequests({ subject, server, secret, imports }) {
  return {
    name: "Download",
    hint: "The same file as by the tab Download. Needs: pip install requests",
    code: `${imports("requests")}

answer = requests.get(
    ${quoted(`${server}/api/annotations/${encodeURIComponent(subject.id)}/download`)},
    params={"volumeDataZipFormat": "zarr3"},   # or wkw; skipVolumeData=true for the NML only
    headers={"X-Auth-Token": ${secret}},
    stream=True,
)
answer.raise_for_status()
kind = "zip" if answer.headers["content-type"] == "application/zip" else "nml"
with open(f"annotation.{kind}", "wb") as file:
    for piece in answer.iter_content(2**20):
        file.write(piece)`,
  };
}

function zarrByLink({ subject, server, layer, secret, imports }) {
  const path = `${server}/api/${subject.kind}s/${encodeURIComponent(subject.id)}/view`;
  return {
    name: "zarr",
    hint: 'An address for one hour; make one that lasts under Zarr links. Needs: pip install requests zarr "fsspec[http]"',
    code: `${imports("requests", "zarr")}

answer = requests.post(
    ${quoted(path)},
    headers={"X-Auth-Token": ${secret}},
)
answer.raise_for_status()
group = zarr.open_group(answer.json()["page"] + ${quoted(`v3/${encodeURIComponent(layer.name)}.zarr`)}, mode="r")
level0 = group["0"]   # z, y, x, behind c where there are channels
middle = tuple(slice(side // 2, side // 2 + ${SAMPLE_SIDE}) for side in level0.shape[-3:])
print(level0[(..., *middle)])`,
  };
}

function exportByRequests({ subject, server, layer, box, mag, format, secret, imports }) {
  const ofAnnotation = subject.kind === "annotation" && layer.ofAnnotation;
  return {
    name: "TIFF export",
    hint: "Starts an export, waits for it and downloads the file. Needs: pip install requests",
    code: `${imports("time", "requests")}

server = ${quoted(server)}
session = requests.Session()
session.headers["X-Auth-Token"] = ${secret}


def checked(answer):
    answer.raise_for_status()
    return answer


job = checked(session.post(
    f"{server}/api/jobs/run/exportTiff/${encodeURIComponent(subject.dataset ?? subject.id)}",
    params={
        ${ofAnnotation ? `"annotationId": ${quoted(subject.id)},\n        "annotationLayerName"` : '"layerName"'}: ${quoted(layer.name)},
        "bbox": "${box.join(",")}",   # x, y, z, width, height, depth in voxels of mag 1
        "mag": ${quoted(mag)},
        "asOmeTiff": "${format === "ome-tiff"}",
    },
)).json()

while job["state"] in ("PENDING", "STARTED"):
    time.sleep(2)
    job = checked(session.get(f"{server}/api/jobs/{job['id']}")).json()
if job["state"] != "SUCCESS":
    raise SystemExit(job["message"] or job["state"])

with open(job["commandArgs"]["export_file_name"], "wb") as file:
    answer = checked(session.get(server + job["resultLink"], stream=True))
    for piece in answer.iter_content(2**20):
        file.write(piece)
print(file.name)`,
  };
}

/** A text as Python writes it: JSON's form is one of Python's. */
function quoted(text) {
  return JSON.stringify(text);
}
