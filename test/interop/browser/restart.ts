import type { Browser } from 'puppeteer-core'
import { startService, type ServerKind, type Stopped, type Teardown } from '../restart.ts'
import { openPage, type Results } from './browser.ts'

export interface PageRun extends Results {
  /** What the page, or the console of the browser, has complained of. */
  complaints: string[]
  /** Requests that came to a server more than once, because the browser has sent them again. */
  receivedTwice: string[]
  stops: Stopped[]
}

// On a busy machine a browser may not run for seconds; whoever gives up on it by then is not what this is about.
const patient = { lingerTimeout: 60_000, lingerTime: 60_000, hardStopAfter: 90_000 }

/** Opens a page of a server, and restarts that server `times` times on its port. */
export async function restartUnderPage (t: Teardown, browser: Browser, kind: ServerKind, times: number): Promise<PageRun> {
  const service = await startService(t, { kind, versions: times + 1, routes: new URL('routes.ts', import.meta.url), options: patient })
  const page = await openPage(browser, `${service.origin}/`)
  const stops: Stopped[] = []

  await page.goesOn(1)
  for (let i = 1; i <= times; i++) {
    stops.push(await service.restart())
    await page.goesOn(i + 1)
  }
  const results = await page.finish()
  const complaints = [...page.complaints]
  await page.close()
  const ledger = await service.stop()
  return { ...results, complaints, stops, receivedTwice: ledger.ids('page.').filter(id => ledger.of(id).received > 1) }
}
