import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import os from 'node:os'

import { root } from '../../../scripts/toolchain.js'

/** What the figures were measured on, and of what. */
export function describeMachine () {
  const [{ model }] = os.cpus()
  return {
    cpu: model.trim(),
    cores: os.availableParallelism(),
    memory: `${Math.round(os.totalmem() / 2 ** 30)} GiB`,
    kernel: `${os.type()} ${os.release()}`,
    node: process.version,
    fastify: versionOf('node_modules/fastify'),
    plugin: [versionOf('.'), commit()].filter(Boolean).join(', commit '),
    date: new Date().toISOString().slice(0, 10)
  }
}

/** The load average of the last minute. */
export function load () {
  return Number(os.loadavg()[0].toFixed(2))
}

function versionOf (folder) {
  return JSON.parse(readFileSync(new URL(`${folder}/package.json`, new URL(`file://${root}`)), 'utf8')).version
}

function commit () {
  const git = (...args) => spawnSync('git', args, { cwd: root, encoding: 'utf8' })
  const { status, stdout } = git('rev-parse', '--short', 'HEAD')
  if (status !== 0) return null
  return git('status', '--porcelain', '--untracked-files=no', '--', 'lib', 'index.ts').stdout === '' ? stdout.trim() : `${stdout.trim()} and changes`
}
