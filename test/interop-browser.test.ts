import type { Browser } from 'puppeteer-core'
import t, { type Test } from 'tap'
import { findChromium, startBrowser, StoodStill } from './interop/browser/browser.ts'
import { restartUnderPage } from './interop/browser/restart.ts'

const chromium = findChromium()
// A browser takes its time, and sees no difference between the lines of Node: npm run interop:browser runs it on any.
const isWanted = process.version.startsWith('v20.') || process.env.BROWSER === '1'
const skip = !isWanted ? 'it runs on Node 20, or with BROWSER=1' : chromium === null && 'chromium (Debian package chromium) is missing'
// Processes, proxies and a browser take their time on a machine that is busy with other things.
t.setTimeout(600_000)
// Where everything has to be tested, a missing tool is a failure.
if (isWanted && skip !== false && process.env.CI === 'true') t.fail(skip)

const restarts = 3

t.test('a page in Chromium does not notice that its server is restarted', { skip }, async t => {
  t.jobs = 2
  for (const { kind, title, spoken } of [
    { kind: 'http', title: 'HTTP/1.1', spoken: 'http/1.1' },
    { kind: 'h2', title: 'HTTP/2 over TLS, and the WebSocket over HTTP/1.1', spoken: 'h2' }
  ] as const) {
    t.test(title, async t => {
      const { fetches, socket, events, complaints, receivedTwice, stops } = await untilItRuns(t, browser => restartUnderPage(t, browser, kind, restarts))
      t.comment(`${fetches.answered} requests, ${socket.echoed} echoes, ${events.ids.length} events, stream opened ${events.opened} times`)

      for (const { ms, report } of stops) t.comment(`a version ended after ${ms} ms, its connections: ${JSON.stringify(report.connections)}`)
      t.same(fetches.failed, [], 'no request failed')
      t.ok(fetches.answered > 20 * (restarts + 1))
      t.same(fetches.protocols, [spoken])
      t.same(receivedTwice, [], 'the browser has sent none again')

      t.same(socket.closes, Array(restarts).fill({ code: 1001, reason: 'service restart', wasClean: true }))
      t.equal(socket.opened, restarts + 1, 'the WebSocket is back after each restart')
      t.ok(socket.echoed > 0)

      t.ok(events.opened > restarts, 'the EventSource is back after each restart')
      t.same(gaps(events.ids), [], 'no event is missing, none came twice')

      t.same(complaints, [], 'the console is empty')
      t.same(stops.map(({ code }) => code), Array(restarts).fill(0))
    })
  }
})

/** Once more with another browser where one has stood still. */
async function untilItRuns<T> (t: Test, run: (browser: Browser) => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await run(await startBrowser(t, chromium as string))
    } catch (error) {
      if (!(error instanceof StoodStill) || tries === 3) throw error
      t.comment(`the browser stood still, and is started again: ${error.message}`)
    }
  }
}

/** Where the next event is not the next one. */
function gaps (ids: number[]): Array<[number, number]> {
  return ids.slice(1).flatMap((id, i) => id === ids[i]! + 1 ? [] : [[ids[i]!, id] as [number, number]])
}
