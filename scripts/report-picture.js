// docs/report.png: the page of a real drain. The service of the demo, under its 200 keep-alive clients, gets SIGTERM; Chromium
// (Debian package chromium) opens the page that it has written. Run it with `npm run picture`.
import { statSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

import puppeteer from 'puppeteer-core'

import { writeReports } from '../bench/lib/report.js'
import { restartUnderLoad } from '../bench/lib/restart.js'
import { root } from './toolchain.js'

const picture = join(root, 'docs', 'report.png')
const folder = await mkdtemp(join(tmpdir(), 'fastify-drain-'))

try {
  writeReports(join(folder, 'report.json'))
  const { requests, lost, answered503 } = await restartUnderLoad({
    variant: 'fastify-drain', clients: 200, think: [10, 400], work: 5, restarts: 1, killAfter: 10_000
  })
  console.log(`${requests} requests, ${lost} lost, ${answered503} answered 503`)
  await take(pathToFileURL(join(folder, 'report.html')))
  console.log(`${picture}: ${Math.round(statSync(picture).size / 1000)} kB`)
} finally {
  await rm(folder, { recursive: true })
}

async function take (page) {
  // A browser of root has no sandbox; it opens nothing but this file.
  const browser = await puppeteer.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'] })
  try {
    const tab = await browser.newPage()
    await tab.setViewport({ width: 1100, height: 800 })
    await tab.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: 'light' }])
    await tab.goto(String(page))
    await tab.screenshot({ path: picture, fullPage: true })
  } finally {
    await browser.close()
  }
}
