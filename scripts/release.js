// What has to agree before a version is published; the part of the changelog about it goes to stdout.
//
//   node scripts/release.js v1.2.3 owner/name
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './toolchain.js'

const [tag = '', repository = ''] = process.argv.slice(2)
const read = path => readFileSync(join(root, path), 'utf8')
const { version, repository: declared } = JSON.parse(read('package.json'))
const url = `git+https://github.com/${repository}.git`
const notes = sectionOf(version)
const problems = []

if (!/^[\w.-]+\/[\w.-]+$/.test(repository)) problems.push(`the repository is given as owner/name, not as '${repository}'`)
if (tag !== `v${version}`) problems.push(`the tag is '${tag}', and the version in package.json ${version}: the tag has to be v${version}`)
if (notes === '') problems.push(`CHANGELOG.md has nothing under "## ${version}": give "## Unreleased" that name`)
// npm publishes no provenance for a package that does not say that it comes from there.
if ((declared?.url ?? declared) !== url) {
  problems.push(`"repository" in package.json is ${declared === undefined ? 'missing' : `'${declared.url ?? declared}'`}, and the release is made in ${repository}: run
    npm pkg set repository.type=git repository.url=${url} bugs.url=https://github.com/${repository}/issues homepage=https://github.com/${repository}#readme
  commit that, and tag that commit`)
}
if (problems.length > 0) {
  console.error(problems.map(problem => `not ok  ${problem}`).join('\n'))
  process.exit(1)
}
console.log(notes)

function sectionOf (version) {
  const parts = read('CHANGELOG.md').split(/^## /m)
  const part = parts.find(part => /^\[?([^\s\]]+)/.exec(part)?.[1] === version) ?? ''
  return part.split('\n').slice(1).join('\n').trim()
}
