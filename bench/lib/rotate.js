/** Whoever comes first in one round does not come first in the next. */
export function rotate (list, by) {
  const at = by % list.length
  return [...list.slice(at), ...list.slice(0, at)]
}
