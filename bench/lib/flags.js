import { parseArgs } from 'node:util'

const readers = { number, numbers, name, names, text, boolean: value => value }

/**
 * Reads the command line. `--help` prints what the flags mean and ends the process.
 *
 * @param {string} summary what the command does
 * @param {Record<string, { type: keyof readers, what: string, default?: unknown, min?: number, max?: number, allowed?: string[] }>} flags
 */
export function readFlags (summary, flags) {
  const options = { help: { type: 'boolean', short: 'h' } }
  for (const [name, flag] of Object.entries(flags)) {
    options[name] = { type: flag.type === 'boolean' ? 'boolean' : 'string' }
  }

  const { values } = parse(options)
  if (values.help) {
    console.log(help(summary, flags))
    process.exit(0)
  }

  return Object.fromEntries(Object.entries(flags).map(([name, flag]) => [
    name,
    values[name] === undefined ? flag.default : readers[flag.type](values[name], flag, name)
  ]))
}

function parse (options) {
  try {
    return parseArgs({ options })
  } catch (error) {
    throw new Error(`${error.message}. --help lists the flags`, { cause: error })
  }
}

function number (text, { min, max }, name) {
  const value = Number(text)
  if (text.trim() === '' || !Number.isInteger(value) || value < min || value > max) {
    throw new Error(`--${name} must be a whole number from ${min} to ${max}, but it is '${text}'`)
  }
  return value
}

function numbers (text, flag, name) {
  return text.split(',').map(part => number(part, flag, name))
}

function name (text, { allowed }, flag) {
  if (!allowed.includes(text)) throw new Error(`--${flag} takes ${allowed.join(', ')}, but it names '${text}'`)
  return text
}

function names (text, flag, name) {
  return text.split(',').map(part => readers.name(part, flag, name))
}

function text (text, flag, name) {
  if (text === '') throw new Error(`--${name} must not be empty`)
  return text
}

function help (summary, flags) {
  const lines = Object.entries(flags).map(([name, flag]) => {
    const unset = flag.default === undefined || flag.default === false
    return `  --${name.padEnd(12)}${flag.what}${unset ? '' : ` (default ${flag.default})`}`
  })
  return [summary, '', ...lines, `  --${'help'.padEnd(12)}print this`].join('\n')
}
