// Known vulnerabilities, by the registry's own list (npm audit). What users install has to be free of them; what only
// this project uses, in development, in bench/, in environments/ and in mutation/, is listed.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { npm, root } from './toolchain.js'

const parts = [
  { title: 'dependencies', args: ['--omit=dev', '--omit=peer'], mustBeClean: true },
  { title: 'with devDependencies', args: [] },
  { title: 'bench/', folder: 'bench', args: [] },
  { title: 'environments/', folder: 'environments', args: [] },
  { title: 'mutation/', folder: 'mutation', args: [] }
]

for (const part of parts) if (!await audit(part)) process.exitCode = 1

async function audit ({ title, folder = '.', args, mustBeClean = false }) {
  let output = ''
  await npm(['audit', '--json', '--package-lock-only', '--loglevel=silent', ...args], { cwd: join(root, folder), onStdout: text => { output += text } })
  const problem = problemOf(output)
  // Mirrors of the registry often have no such list; that says nothing of the packages.
  if (problem !== null) {
    console.log(`skipped  audit, ${title}: the list of vulnerabilities cannot be had (${problem})`)
    return true
  }
  const found = Object.values(JSON.parse(output).vulnerabilities)
  for (const { name, severity, range } of found) console.log(`  ${severity}: ${name} ${range}`)
  const isOk = found.length === 0 || !mustBeClean
  console.log(`${isOk ? 'ok' : 'not ok'}  audit, ${title}: ${found.length} vulnerable packages of ${countOf(folder)} in the lock file`)
  return isOk
}

function problemOf (output) {
  try {
    const { vulnerabilities, message, error } = JSON.parse(output)
    return vulnerabilities === undefined ? message?.split(' - ')[0] ?? error?.summary ?? 'no answer' : null
  } catch {
    return 'no answer'
  }
}

function countOf (folder) {
  return Object.keys(JSON.parse(readFileSync(join(root, folder, 'package-lock.json'), 'utf8')).packages).length - 1
}
