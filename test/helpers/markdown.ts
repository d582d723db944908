import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))

export interface Block {
  /** The page, from the root of the project. */
  page: string
  line: number
  language: string
  code: string
  /** `page: first line`, with ` (2)` and so on behind the same once more. */
  name: string
}

/** The pages that are written for readers, from the root of the project. */
export function pages (): string[] {
  const within = ['docs', 'examples'].flatMap(folder => readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map(name => join(folder, name)))
  return ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'bench/README.md', ...within.filter(name => name.endsWith('.md') && !name.includes('node_modules')).sort()]
}

export const read = (page: string): string => readFileSync(join(root, page), 'utf8')

const fence = /^( *)(`{3,}|~{3,})(.*)\n([^]*?)^\1\2 *$/gm

/** Every fenced block of a page. */
export function blocksOf (page: string): Block[] {
  const text = read(page)
  const seen = new Map<string, number>()
  return [...text.matchAll(fence)].map(({ 1: indent = '', 3: language = '', 4: body = '', index }) => {
    const code = body.replaceAll(new RegExp(`^${indent}`, 'gm'), '')
    const first = `${page}: ${code.slice(0, code.indexOf('\n')).trim()}`
    const count = (seen.get(first) ?? 0) + 1
    seen.set(first, count)
    return { page, line: text.slice(0, index).split('\n').length, language: language.trim(), code, name: count === 1 ? first : `${first} (${count})` }
  })
}

/** The links of a page that lead nowhere: to a file that is not there, or to a heading that it does not have. */
export function deadLinks (page: string): string[] {
  const text = read(page).replaceAll(fence, '')
  const targets = [...text.matchAll(/\]\((?![a-z]+:)([^)#\s]*)(?:#([^)\s]+))?\)/g), ...text.matchAll(/<img[^>]+src="(?![a-z]+:)([^"]+)"()/g)]
  return targets.flatMap(([, file = '', heading]) => {
    const target = file === '' ? page : join(dirname(page), file)
    if (!existsSync(join(root, target))) return [`${page}: ${file}`]
    return heading === undefined || heading === '' || headings(read(target)).includes(heading) ? [] : [`${page}: ${file}#${heading}`]
  })
}

/** As GitHub names them. */
function headings (text: string): string[] {
  const seen = new Map<string, number>()
  return [...text.replaceAll(fence, '').matchAll(/^#+ (.+)$/gm)].map(([, title = '']) => {
    const name = title.replace(/\[([^\]]+)\]\([^)]*\)/g, '$1').toLowerCase().replace(/[^\p{L}\p{N}_ -]/gu, '').replaceAll(' ', '-')
    const count = seen.get(name) ?? 0
    seen.set(name, count + 1)
    return count === 0 ? name : `${name}-${count}`
  })
}
