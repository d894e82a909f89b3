/** Terms and what is said of them, as rows of a `<dl>`. */

/** Append one fact; `value` is text or an element. Text only ever arrives as text: names come from other people. */
export function addFact(list, term, value) {
  const row = document.createElement("div");
  const name = document.createElement("dt");
  const said = document.createElement("dd");
  name.textContent = term;
  said.append(value);
  row.append(name, said);
  list.append(row);
}
