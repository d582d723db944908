/**
 * Mutants that no test can kill, with the reason. `line`: the source line, without its indentation; `mutants`: what is replaced in it, and by what.
 * @type {Array<{ file: string, line: string, mutants: string[], why: string }>}
 */
export const explained = [
]
