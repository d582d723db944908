/**
 * What a library keeps on an object under a symbol of its own, found by what it is; `null`: nothing like it, or not yet.
 * Names of symbols are nobody's promise, and neither is this: whoever calls it does without where nothing is found.
 */
export function hiddenOn<T extends object> (owner: object, isWanted: (value: Partial<T>) => boolean): T | null {
  for (const symbol of Object.getOwnPropertySymbols(owner)) {
    const value: unknown = (owner as Record<symbol, unknown>)[symbol]
    if (typeof value === 'object' && value !== null && isWanted(value)) return value as T
  }
  return null
}
