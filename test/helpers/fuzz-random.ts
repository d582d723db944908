export interface Random {
  /** A whole number from `from` to `to`, both included. */
  int (from: number, to: number): number
  pick<T> (list: readonly T[]): T
}

/** Repeatable random numbers (mulberry32). */
export function random (seed: number): Random {
  let state = seed | 0
  const next = (): number => {
    state = (state + 0x6D2B79F5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  return {
    int: (from, to) => from + Math.floor(next() * (to - from + 1)),
    pick: list => list[Math.floor(next() * list.length)] as never
  }
}

/** Bytes that mean nothing. */
export function garbage ({ int }: Random, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => int(0, 255)))
}
