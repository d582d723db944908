import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
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

/** The browser does not run, so that nothing can be said about the server. */
export class StoodStill extends Error {}

// On a machine that is busy with other things it takes its time, in ms.
const patience = 90_000

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

  const seen = async (): Promise<Results & { beats: number }> => {
    const results = page.evaluate('JSON.stringify(results)') as Promise<string>
    const answer = await Promise.race([results, sleep(patience, null, { ref: false })])
    if (answer === null) throw new StoodStill(`the page has not answered for ${patience / 1000} s`)
    return JSON.parse(answer)
  }

  return {
    complaints,
    async goesOn (times) {
      const before = await seen()
      for (const end = performance.now() + patience; performance.now() < end; await sleep(100)) {
        const { fetches, socket, events } = await seen()
        if (fetches.answered >= before.fetches.answered + 20 && socket.opened >= times && events.opened >= times) return
      }
      const late = await seen()
      await sleep(5000)
      const { beats, fetches, socket, events } = await seen()
      if (beats - late.beats < 10) throw new StoodStill(`the page has counted ${beats - late.beats} times 50 ms in 5 s`)
      throw new Error(`the page waits for the server: ${JSON.stringify({ fetches, socket, events: events.ids.slice(-3) })}\n` +
        `open: ${[...pending.values()].join(', ')}\ncomplaints: ${complaints.join(', ')}`)
    },
    async finish () {
      return JSON.parse(await page.evaluate('finish().then(JSON.stringify)') as string)
    },
    close: () => page.close()
  }
}
