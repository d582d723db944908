import { readFileSync } from 'node:fs'

const fence = /^```(\w+)\n([^]*?)^```$/gm
const fileName = /^(?:\/\/|#) ([\w.-]+)\n/

/**
 * The files that a page of docs/environments shows, by name: the fenced blocks whose first line is a comment with a file name.
 */
export function snippets (page: string): Record<string, string> {
  const text = readFileSync(new URL(`../../docs/environments/${page}.md`, import.meta.url), 'utf8')
  const files: Record<string, string> = {}
  for (const [, , code = ''] of text.matchAll(fence)) {
    const [, name] = fileName.exec(code) ?? []
    if (name === undefined) continue
    if (name in files) throw new Error(`${page}.md shows ${name} twice`)
    files[name] = code
  }
  return files
}

export function snippet (page: string, name: string): string {
  const code = snippets(page)[name]
  if (code === undefined) throw new Error(`${page}.md does not show ${name}`)
  return code
}
