import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import puppeteer, { type Browser } from 'puppeteer-core'
import type { Teardown } from '../restart.ts'

/** Where the browser is, or `null`. */
export function findChromium (): string | null {
  const paths = (process.env.PATH ?? '').split(delimiter).map(folder => join(folder, 'chromium'))
  return paths.find(isExecutable) ?? null
}

function isExecutable (path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** A browser without windows; ended on teardown. */
export async function startBrowser (t: Teardown, executablePath: string, args: string[] = []): Promise<Browser> {
  const browser = await puppeteer.launch({
    executablePath,
    // The certificate is the tests' own, and root has no sandbox.
    args: ['--no-sandbox', '--ignore-certificate-errors', '--disable-dev-shm-usage', '--disable-gpu', ...args]
  })
  t.teardown(() => browser.close())
  return browser
}

/** What the page has counted: page.html. */
export interface Results {
  fetches: { answered: number, failed: string[], protocols: string[] }
  socket: { opened: number, echoed: number, closes: Array<{ code: number, reason: string, wasClean: boolean }> }
  events: { opened: number, ids: number[] }
}

export interface OpenPage {
  /** What the page, or the console of the browser, has complained of. */
  readonly complaints: string[]
  /** Resolves when everything has connected `times` times, and some more requests have been answered. */
  goesOn (times: number): Promise<void>
  /** Lets what is open be answered, and tells what the page has counted. */
  finish (): Promise<Results>
  close (): Promise<void>
}

export async function openPage (browser: Browser, url: string): Promise<OpenPage> {
  const page = await browser.newPage()
  const complaints: string[] = []
  page.on('console', message => { if (['error', 'warn'].includes(message.type())) complaints.push(message.text()) })
  page.on('pageerror', error => complaints.push(String(error)))
  const pending = new Map<object, string>()
  page.on('request', request => pending.set(request, `${request.method()} ${request.url()}`))
  for (const end of ['requestfinished', 'requestfailed'] as const) page.on(end, request => pending.delete(request))
  page.on('requestfailed', request => complaints.push(`${request.method()} ${request.url()}: ${request.failure()?.errorText}`))
  await page.goto(url)

  return {
    complaints,
    async goesOn (times) {
      const answered = await page.evaluate('results.fetches.answered') as number
      try {
        await page.waitForFunction(`results.fetches.answered >= ${answered + 20} && results.socket.opened >= ${times} && results.events.opened >= ${times}`,
          { polling: 50, timeout: 90_000 })
      } catch (cause) {
        const counted = await page.evaluate('JSON.stringify({ ...results, events: { ...results.events, ids: results.events.ids.slice(-3) } })')
        throw new Error(`the page stands still: ${counted}\nopen: ${[...pending.values()].join(', ')}\ncomplaints: ${complaints.join(', ')}`, { cause })
      }
    },
    async finish () {
      return JSON.parse(await page.evaluate('finish().then(JSON.stringify)') as string)
    },
    close: () => page.close()
  }
}
