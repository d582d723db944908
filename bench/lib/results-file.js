import { open } from 'node:fs/promises'
import { availableParallelism } from 'node:os'

/**
 * Opens the file for the results before anything runs, so that a wrong path does not cost a whole run.
 *
 * @param {string | undefined} path without one, nothing is written
 * @returns {Promise<(results: object) => Promise<void>>}
 */
export async function openResultsFile (path) {
  if (path === undefined) return async () => {}
  const file = await open(path, 'w').catch(error => {
    throw new Error(`--json cannot write its file: ${error.message}`, { cause: error })
  })

  return async results => {
    const machine = { node: process.version, platform: process.platform, arch: process.arch, processors: availableParallelism() }
    await file.writeFile(`${JSON.stringify({ ...machine, ...results }, null, 2)}\n`)
    await file.close()
    console.log(`\nEvery result is in ${path}`)
  }
}
