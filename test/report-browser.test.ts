import type { Browser, Page } from 'puppeteer-core'
import t, { type Test } from 'tap'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { drawPage } from '../lib/picture/page.ts'
import type { RecordedConnection } from '../lib/timeline.ts'
import { eventually, testApp } from './helpers/app.ts'
import { rawClient, request } from './helpers/raw-client.ts'
import { crowd, recorded, reportOf } from './helpers/unit-report.ts'
import { findChromium, startBrowser } from './interop/browser/browser.ts'

const chromium = findChromium()
// A browser takes its time, and sees no difference between the lines of Node.
const isWanted = process.version.startsWith('v20.') || process.env.BROWSER === '1'
const skip = !isWanted ? 'it runs on Node 20, or with BROWSER=1' : chromium === null && 'chromium (Debian package chromium) is missing'
t.setTimeout(300_000)
// Where everything has to be tested, a missing tool is a failure.
if (isWanted && skip !== false && process.env.CI === 'true') t.fail(skip)

// In the page.
declare const getComputedStyle: (element: object) => Record<string, string>

interface Opened {
  page: Page
  /** What the console has said, and what was asked for besides the file. */
  complaints: string[]
}

async function open (browser: Browser, file: string, { scheme = 'light', scripts = true } = {}): Promise<Opened> {
  const page = await browser.newPage()
  const complaints: string[] = []
  const url = String(pathToFileURL(file))
  page.on('console', message => complaints.push(message.text()))
  page.on('pageerror', error => complaints.push(String(error)))
  page.on('request', request => { if (request.url() !== url) complaints.push(request.url()) })
  await page.setJavaScriptEnabled(scripts)
  await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }])
  await page.goto(url)
  return { page, complaints }
}

function write (t: Test, connections: RecordedConnection[]): string {
  const file = join(t.testdir({}), 'drain.html')
  writeFileSync(file, drawPage(reportOf(connections), 'drain.json'))
  return file
}

const details = (page: Page) => page.$eval('#details', element => element.textContent)
const count = (page: Page, selector: string) => page.$$eval(selector, elements => elements.length)
/** How many of them are not filtered out. */
const shown = (page: Page, selector: string) => page.$$eval(selector, elements =>
  elements.filter(element => getComputedStyle(element).opacity === '1' && getComputedStyle(element).display !== 'none').length)
/** The colour of the paper, and that of the text on it, from 0 (black) to 255. */
const brightness = (page: Page) => page.$eval('body', body => {
  const { backgroundColor, color } = getComputedStyle(body)
  return [backgroundColor, color].map(text => Math.max(...(text?.match(/\d+/g) ?? []).slice(0, 3).map(Number)))
})

t.test('the page in Chromium', { skip }, async t => {
  const browser = await startBrowser(t, chromium as string)

  t.test('a real drain can be looked at, bar by bar, and outcome by outcome', async t => {
    const folder = t.testdir({})
    const { app, listen } = await testApp(t, { hardStopAfter: 1000, idleGrace: 100, report: { file: join(folder, 'drain.json') } })
    app.get('/*', async () => 'hello')
    app.get('/endless/*', () => new Promise(() => {}))
    const to = await listen()
    const clients = await Promise.all(Array.from({ length: 8 }, () => rawClient(t, to)))
    for (const [i, client] of clients.entries()) {
      client.socket.on('end', () => client.halfClose())
      client.write(request(i < 2 ? '/endless/<b>' : '/'))
    }
    await eventually(() => app.drain.connections.active === 2 && app.drain.connections.idle === 6, 'all have been read')
    await app.drain.begin('test')

    const { page, complaints } = await open(browser, join(folder, 'drain.html'))
    t.equal(await count(page, '.item'), 8)
    await page.click('.item.cut .hit')
    t.match(await details(page), /^127\.0\.0\.1:\d+ GET \/endless\/<b>; accepted .*; active 0 ms to \d+ ms; cut at \d+ ms$/)
    t.equal(await count(page, '#details *'), 0, 'as text')
    for (const item of await page.$$('.item .hit')) {
      await item.click()
      t.equal(await details(page), await page.$eval('.item.chosen title', title => title.textContent))
    }

    t.equal(await shown(page, '.item'), 8)
    for (const [outcome, number] of [['cut', 2], ['half-closed', 6], ['all', 8]] as const) {
      await page.click(`input[value=${outcome}]`)
      t.equal(await shown(page, '.item'), number, outcome)
      t.equal(await shown(page, 'tbody tr'), outcome === 'half-closed' ? 0 : 2)
    }
    t.same(complaints, [], 'a silent console, and nothing that was asked for')
    await page.close()
  })

  t.test('the keyboard does all that the mouse does', async t => {
    const { page, complaints } = await open(browser, write(t, crowd(30)))
    const chosen = () => page.$eval('.chosen', element => element.id)
    await page.keyboard.press('Tab')
    t.equal(await page.evaluate('document.activeElement.value'), 'all', 'first come the outcomes')
    await page.keyboard.press('Tab')
    t.equal(await page.evaluate("document.activeElement.getAttribute('role')"), 'listbox')
    for (const [key, id] of [['ArrowDown', 0], ['ArrowDown', 1], ['ArrowRight', 2], ['ArrowLeft', 1], ['End', 29], ['ArrowDown', 29], ['Home', 0], ['ArrowUp', 0]] as const) {
      await page.keyboard.press(key)
      t.equal(await chosen(), `item-0-${id}`, key)
      t.equal(await page.evaluate("document.activeElement.getAttribute('aria-activedescendant')"), `item-0-${id}`)
    }
    t.match(await details(page), /cut at 3000 ms/)
    await page.keyboard.down('Shift')
    await page.keyboard.press('Tab')
    await page.keyboard.up('Shift')
    await page.keyboard.press('ArrowRight')
    t.equal(await page.evaluate("document.querySelector('input:checked').value"), 'peer-closed')
    await page.keyboard.press('Tab')
    await page.keyboard.press('Home')
    t.equal(await chosen(), 'item-0-3', 'what is filtered out is passed over')
    t.same(complaints, [])
    await page.close()
  })

  t.test('it is light or dark, as the reader has it', async t => {
    const file = write(t, crowd(30))
    for (const scheme of ['light', 'dark']) {
      const { page, complaints } = await open(browser, file, { scheme })
      const [paper = 0, ink = 0] = await brightness(page)
      t.ok(scheme === 'light' ? paper > 240 && ink < 60 : paper < 60 && ink > 200, `${scheme}: ${paper}, ${ink}`)
      const colours = await page.$$eval('.item path', paths => [...new Set(paths.map(path => getComputedStyle(path).stroke))])
      t.ok(colours.length >= 3 && !colours.includes('none'), 'the states have colours')
      t.same(complaints, [])
      await page.close()
    }
  })

  t.test('of a crowd each moment can be chosen', async t => {
    const { page, complaints } = await open(browser, write(t, crowd(600)))
    t.equal(await count(page, '.items'), 2, 'the stragglers, and all')
    await page.evaluate("document.querySelectorAll('.items')[1].focus()")
    await page.keyboard.press('Home')
    t.equal(await details(page), 'at 0 ms: 60 active, 540 idle')
    await page.click('.items .item .hit')
    t.match(await details(page), /^127\.0\.0\.1:/)
    t.equal(await count(page, '.chosen'), 1)
    t.same(complaints, [])
    await page.close()
  })

  t.test('without scripts everything is there to read, and outcomes can be chosen', async t => {
    const { page, complaints } = await open(browser, write(t, crowd(30)), { scripts: false })
    await page.click('input[value=cut]')
    await page.click('summary')
    t.equal(await page.$$eval('.item title', titles => titles.length), 30)
    t.equal(await shown(page, '.item'), 3)
    t.equal(await shown(page, 'details[open] li'), 3)
    t.same(complaints, [])
    await page.close()
  })

  t.test('what comes from outside is neither run nor loaded', async t => {
    const route = '/<img src="http://127.0.0.1:9/x" onerror="document.title=1"><script>document.title=2</script>'
    const { page, complaints } = await open(browser, write(t, [recorded({ method: 'GET', route, outcome: 'cut' }), recorded()]))
    t.equal(await page.title(), 'Drain of 2 connections, 1010 ms')
    t.equal(await count(page, 'img'), 0)
    t.match(await page.$eval('tbody td', cell => cell.textContent), /<img src=/)
    t.same(complaints, [])
    // Were it let through, the page's policy would stop it.
    await page.evaluate("document.body.append(document.createRange().createContextualFragment('<script>document.title = 3</script><img src=\"http://127.0.0.1:9/x\">'))")
    t.equal(await page.title(), 'Drain of 2 connections, 1010 ms')
    await eventually(() => complaints.length >= 2, 'both were refused')
    t.ok(complaints.every(text => text.includes('Content Security Policy') || text.includes('127.0.0.1:9')))
    await page.close()
  })
})
