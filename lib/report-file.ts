import { randomUUID } from 'node:crypto'
import { accessSync, chmodSync, constants, lstatSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, format, parse, resolve } from 'node:path'
import { inspect } from 'node:util'
import { errors } from './errors.ts'
import { drawPage } from './picture/page.ts'
import type { Log } from './progress.ts'
import type { DrainReportFile } from './timeline.ts'

/**
 * Checks where the report shall go; the returned function writes it there, and the page next to it, before it returns.
 * @throws FST_DRAIN_INVALID_OPTION
 */
export function reportFile (given: string, log: Log): (report: DrainReportFile) => void {
  const problem = whyUnusable(given)
  if (problem !== null) throw new errors.InvalidOption('report.file', `${inspect(given)}, ${problem}`, 'the path of a file, not a .html one, in a folder that exists and can be written to')
  // The working directory may be another one by then.
  const file = resolve(given)
  const page = pageOf(file)

  return report => {
    try {
      replace(file, `${JSON.stringify(report)}\n`)
      replace(page, drawPage(report, parse(file).base))
      log.info({ file, page }, `drain: the report is in ${file}, and to be seen in ${page}`)
    } catch (error) {
      log.error({ err: error }, `drain: the report could not be written to ${file}`)
    }
  }
}

/** The same name with .html in place of the extension. */
export function pageOf (file: string): string {
  const { dir, name } = parse(file)
  return format({ dir, name, ext: '.html' })
}

function whyUnusable (given: string): string | null {
  if (/\.html$/i.test(given)) return 'which is where the page goes'
  const folder = dirname(resolve(given))
  try {
    if (!statSync(folder).isDirectory()) return `and ${folder} is no folder`
    accessSync(folder, constants.W_OK | constants.X_OK)
    if ([resolve(given), resolve(pageOf(given))].some(isFolder)) return 'and there is a folder of that name'
  } catch (error) {
    return `and ${folder} cannot be used (${(error as NodeJS.ErrnoException).code})`
  }
  return null
}

function isFolder (path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true
}

// It tells who the clients are. Who shall read it besides is up to the owner of the file: its permissions are kept.
const ownerOnly = 0o600

// Whoever looks sees the file that was there before, or the whole new one.
function replace (path: string, text: string): void {
  const unfinished = `${path}.${randomUUID()}.tmp`
  try {
    writeFileSync(unfinished, text, { flag: 'wx', mode: ownerOnly })
    const before = lstatSync(path, { throwIfNoEntry: false })
    if (before?.isFile() === true) chmodSync(unfinished, before.mode & 0o777)
    renameSync(unfinished, path)
  } catch (error) {
    rmSync(unfinished, { force: true })
    throw error
  }
}
