import t from 'tap'
import { alarm, colours } from '../../../lib/picture/style.ts'

type Rgb = [number, number, number]

// Machado, Oliveira and Fernandes 2009, severity 1.0, in linear RGB.
const visions: Record<string, number[][]> = {
  common: [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
  protanopia: [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
  deuteranopia: [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
  tritanopia: [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]]
}

function linear (colour: string): Rgb {
  return [1, 3, 5].map(at => {
    const value = parseInt(colour.slice(at, at + 2), 16) / 255
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4
  }) as Rgb
}

function lab ([r, g, b]: Rgb): Rgb {
  const f = (value: number): number => value > 216 / 24389 ? Math.cbrt(value) : (value * 24389 / 27 + 16) / 116
  const x = f((0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505)
  const y = f(0.2126 * r + 0.7152 * g + 0.0722 * b)
  const z = f((0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089)
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)]
}

t.test('each two colours can be told apart, whatever somebody can see', async t => {
  const all = Object.entries({ ...colours, straggler: alarm })
  for (const [vision, matrix] of Object.entries(visions)) {
    const seen = all.map(([name, colour]) => ({
      name, at: lab(matrix.map(row => Math.min(1, Math.max(0, row.reduce((sum, factor, i) => sum + factor * linear(colour)[i]!, 0)))) as Rgb)
    }))
    for (const [i, one] of seen.entries()) {
      for (const other of seen.slice(i + 1)) {
        const distance = Math.hypot(...one.at.map((value, axis) => value - other.at[axis]!))
        // Side by side a difference of 2 can be seen.
        t.ok(distance > 10, `${vision}: ${one.name} and ${other.name}, ${Math.round(distance)}`)
      }
    }
  }
})
