// The package as its users get it: packed, installed by npm into new projects outside of this one, imported, compiled, bundled.
import { build, type BuildOptions } from 'esbuild'
import { readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { compile, install, newFolder, pack, project, runIn, userEnv } from './helpers/consumer.ts'
import { drainsUnderLoad, portOf } from './helpers/environment.ts'
import { logged, startProgram, type Program } from './helpers/systemd.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const folder = newFolder(t)
const { tarball, files, unpackedSize } = await pack(folder)
const full = join(folder, 'full')
// Without optional parts, and so that a package finds only what it has declared.
const bare = join(folder, 'bare')
const [installed] = await Promise.all([
  install(full, tarball, { packages: [`second@file:${tarball}`, 'fastify', 'prom-client', '@opentelemetry/api'] }),
  install(bare, tarball, { packages: ['fastify'], flags: ['--omit=optional', '--install-strategy=linked'] })
])
const esm = project(full, 'esm', ['app.mjs', 'spellings.mjs', 'copies.mjs', 'app.ts'], { type: 'module' })
const cjs = project(full, 'cjs', ['app.cjs', 'spellings.cjs'], { type: 'commonjs' })
const small = project(bare, 'small', ['app.mjs', 'app.cjs', 'app.ts'], { type: 'module' })

t.jobs = 3
// A busy machine takes its time over the installations.
t.setTimeout(300_000)

function start (t: Test, cwd: string, args: string[], env: NodeJS.ProcessEnv = {}): Program {
  return startProgram(t, [process.execPath, ...args], { cwd, env: userEnv(env) })
}

/** It answers, gets SIGTERM under load, ends with 0, and nothing is lost. */
async function works (t: Test, cwd: string, args: string[], env: NodeJS.ProcessEnv = {}): Promise<Program> {
  const program = start(t, cwd, args, env)
  await drainsUnderLoad(t, { program, port: portOf(await program.says('Server listening at')) })
  return program
}

t.test('the tarball has the build, the declarations and what tells of them, and nothing else', async t => {
  const paths = files.map(({ path }) => path)
  t.same(paths.filter(path => !path.startsWith('dist/')).sort(), ['CHANGELOG.md', 'LICENSE', 'README.md', 'package.json'])
  t.same(paths.filter(path => /^dist\//.test(path) && !/^dist\/(esm|cjs)\/(index|lib\/.+)\.(js|d\.ts)$/.test(path)), ['dist/cjs/package.json'])
  const scripts = (format: string): string[] => paths.filter(path => path.startsWith(`dist/${format}/`) && path.endsWith('.js')).map(path => path.split('/').slice(2).join('/'))
  t.same(scripts('esm'), scripts('cjs'))
  t.same(scripts('esm').filter(script => !paths.includes(`dist/esm/${script.replace(/js$/, 'd.ts')}`)), [])
  t.ok(unpackedSize < 1.5e6, `${unpackedSize} bytes`)
  for (const path of paths) {
    const text = readFileSync(join(full, 'node_modules', manifest.name, path), 'utf8')
    t.notOk(text.includes('sourceMappingURL=') || text.includes(root), `${path}: neither a map without its sources, nor where it was built`)
  }
})

t.test('every file that package.json names is in the tarball, and npm runs no script of ours', async t => {
  const named = JSON.stringify([manifest.main, manifest.module, manifest.types, manifest.exports, manifest.typesVersions]).matchAll(/"(\.\/[^"]+\.[^"/]+)"/g)
  const paths = files.map(({ path }) => `./${path}`)
  t.same([...named].map(([, path = '']) => path).filter(path => !paths.includes(path)), [])
  t.same(Object.keys(manifest.scripts).filter(name => /^(pre|post)?install$|^prepare$/.test(name)), [])
})

t.test('npm has nothing to say against what it has installed', async t => {
  t.notMatch(installed.stderr, /deprecated|ERESOLVE|peer dep/i)
  const { code, stdout, stderr } = await runIn(full, 'npm', ['ls', '--all'])
  t.equal(code, 0, 'no dependency is missing or invalid', { stdout, stderr })
})

for (const [kind, cwd] of [['mjs', esm], ['cjs', cjs]] as const) {
  t.test(`app.${kind} loses nothing when it gets SIGTERM, and warns of nothing`, async t => {
    const { lines } = await works(t, cwd, ['--throw-deprecation', `app.${kind}`])
    t.same(lines.filter(line => !line.startsWith('{') || /"level":[456]0/.test(line)), [])
  })

  t.test(`every spelling of the imports is understood (${kind})`, async t => {
    const { stdout } = await runIn(cwd, process.execPath, [`spellings.${kind}`])
    t.same(JSON.parse(stdout), { same: true, functions: true, version: manifest.version })
  })

  t.test(`without the optional dependency it does the same, with one warning (${kind})`, async t => {
    const program = await works(t, small, [`app.${kind}`])
    t.match(logged(program, 'warn'), [/koffi cannot be loaded \((ERR_)?MODULE_NOT_FOUND; npm install koffi\)/])
  })

  for (const [part, peer] of [['prometheus', 'prom-client'], ['opentelemetry', '@opentelemetry/api']]) {
    t.test(`fastify-drain/${part} without ${peer} is an error that says what to install, and an app with it works (${kind})`, async t => {
      const { code, stderr } = await runIn(small, process.execPath, [`app.${kind}`], { METRICS: part })
      t.equal(code, 1)
      t.match(stderr, 'FST_DRAIN_MISSING_PEER')
      t.match(stderr, `run \`npm install ${peer}\``)
      const program = start(t, cwd, [`app.${kind}`], { METRICS: part })
      await program.says('Server listening at')
      program.kill('SIGTERM')
      t.match(await program.exited, { code: 0, signal: null })
    })
  }
}

t.test('copies of the package side by side drain with one signal, and know each other in one app', async t => {
  const program = start(t, esm, ['copies.mjs'])
  const names = ['esm', 'cjs', 'second esm', 'second cjs']
  for (const name of names) await program.tellsWhere(({ name: of, msg }) => of === name && /^Server listening/.test(msg), `${name} listens`)
  program.kill('SIGTERM')
  t.match(await program.exited, { code: 0, signal: null })
  const said = (pattern: RegExp): string[] => program.told.filter(({ msg }) => pattern.test(msg)).map(({ name }) => name).sort()
  t.same(said(/^drain: closed/), [...names].sort())
  for (const { distinct, refused } of program.told.filter(({ msg }) => msg === 'copies')) {
    t.equal(distinct, names.length)
    t.same(refused, names.map(() => 'FST_DRAIN_ALREADY_REGISTERED'))
  }
})

t.test('app.ts runs where Node takes the types away', { skip: process.allowedNodeEnvironmentFlags.has('--experimental-strip-types') ? false : 'this Node does not' }, async t => {
  await works(t, esm, ['--experimental-strip-types', '--disable-warning=ExperimentalWarning', 'app.ts'])
})

t.test('a project whose node_modules is a symbolic link works with --preserve-symlinks', async t => {
  const linked = project(folder, 'linked', ['app.mjs'])
  symlinkSync(join(full, 'node_modules'), join(linked, 'node_modules'))
  await works(t, linked, ['--preserve-symlinks', '--preserve-symlinks-main', 'app.mjs'])
})

const everything = ['types.ts', 'types.cts', 'interop.cts', 'app.ts', 'app.mjs', 'app.cjs']
const typed = project(full, 'typed', everything, { type: 'module' })
const compilations: Array<[name: string, folder: string, files: string[], options: Record<string, unknown>]> = [
  ['node16', typed, everything, { module: 'node16' }],
  ['nodenext', typed, everything, { module: 'nodenext' }],
  ['bundler', typed, ['types.ts', 'app.ts', 'app.mjs'], { module: 'esnext', moduleResolution: 'bundler' }],
  ['node10', typed, ['types.ts'], { module: 'commonjs', moduleResolution: 'node10', ignoreDeprecations: '6.0', esModuleInterop: true }],
  ['without optional parts', small, ['app.ts'], { module: 'nodenext' }]
]

t.test('its declarations are found, and right, however TypeScript looks for them', async t => {
  const compiled = await compile(compilations.map(([, folder, files, options]) => ({ folder, files, options })))
  for (const [i, { checked, text }] of compiled.entries()) {
    const [name, , files] = compilations[i] as typeof compilations[number]
    t.equal(text, '', name)
    t.ok(checked > files.length, `${name}: ${checked} files`)
  }
})

for (const [format, cwd, file] of [['esm', esm, 'app.mjs'], ['cjs', cjs, 'app.cjs']] as const) {
  const options: BuildOptions = {
    entryPoints: [join(cwd, file)],
    bundle: true,
    platform: 'node',
    format,
    logLevel: 'silent',
    // Fastify is CommonJS: an ES module has no require().
    banner: format === 'esm' ? { js: "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url)" } : {}
  }

  t.test(`one file that esbuild has made, with koffi beside it, is as good as the package (${format})`, async t => {
    await build({ ...options, external: ['koffi'], outfile: join(cwd, `bundle-${file}`) })
    const program = await works(t, cwd, [`bundle-${file}`])
    t.same(logged(program, 'warn'), [])
  })

  t.test(`one file with koffi in it works without system calls, and says what to do (${format})`, async t => {
    const alone = project(folder, `alone-${format}`, [])
    await build({ ...options, outfile: join(alone, file) })
    const program = await works(t, alone, [file])
    t.match(logged(program, 'warn'), [/koffi cannot be loaded \(.*npm install koffi, and leave it out of a bundle\)/])
  })
}
