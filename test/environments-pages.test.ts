import { existsSync, readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import { rules } from '../lib/option-rules.ts'

const folder = new URL('../docs/environments/', import.meta.url)
const read = (name: string): string => readFileSync(new URL(name, folder), 'utf8')
const pages = readdirSync(folder).filter(name => name !== 'README.md')

t.test('the index has one line for each page', async t => {
  const links = [...read('README.md').matchAll(/^\| \[.+?\]\((.+?)\) \|/gm)].map(([, target]) => target)
  t.same(links.sort(), pages.sort())
})

t.test('every page has a test of its own', async t => {
  for (const page of pages) t.ok(existsSync(new URL(`environments-${page.replace('.md', '.test.ts')}`, import.meta.url)), page)
})

t.test('every file that a page links to exists, and so does the heading', async t => {
  for (const page of ['README.md', ...pages]) {
    for (const [, target = '', heading] of read(page).matchAll(/\]\((?!https?:)([^)#]+)(?:#([^)]+))?\)/g)) {
      t.ok(existsSync(new URL(target, folder)), `${page}: ${target}`)
      if (heading !== undefined) t.ok(headings(read(target)).includes(heading), `${page}: ${target}#${heading}`)
    }
  }
})

t.test('the pages say the defaults that the code has', async t => {
  for (const page of pages) {
    for (const [, amount = '', unit] of read(page).matchAll(/`hardStopAfter` \(([\d,]+) (s|ms)\)/g)) {
      t.equal(Number(amount.replace(',', '')) * (unit === 's' ? 1000 : 1), rules.hardStopAfter.default, page)
    }
  }
})

function headings (text: string): string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, title = '']) => title.toLowerCase().replace(/[^\w -]/g, '').replaceAll(' ', '-'))
}
