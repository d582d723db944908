import { parse, View } from 'vega'
import { compile } from 'vega-lite'

import { nameOf, ours } from './names.js'
import { text } from './numbers.js'

const accent = '#e8590c'
const neutral = '#7c93a8'
const ink = '#343a40'
const label = { test: `datum.value === '${nameOf(ours)}'` }

// White behind everything: a page may be dark, and an image of it does not know.
const config = {
  background: 'white',
  padding: 14,
  font: 'Helvetica, Arial, sans-serif',
  view: { stroke: '#dee2e6' },
  title: { color: ink, anchor: 'start', fontSize: 14, subtitleColor: '#495057', subtitleFontSize: 11, offset: 12 },
  axis: { labelColor: ink, titleColor: ink, gridColor: '#e9ecef', domainColor: '#adb5bd', tickColor: '#adb5bd', labelLimit: 220, titleFontWeight: 'normal' },
  header: { labelColor: ink, titleColor: ink, labelFontSize: 12 },
  legend: { labelColor: ink, titleColor: ink, orient: 'bottom', labelLimit: 320 },
  bar: { height: { band: 0.72 } }
}

const servers = {
  title: null,
  sort: null,
  axis: { labelColor: { condition: { ...label, value: accent }, value: ink }, labelFontWeight: { condition: { ...label, value: 'bold' }, value: 'normal' } }
}
const serverColour = { condition: { test: `datum.server === '${nameOf(ours)}'`, value: accent }, value: neutral }
const rule = { type: 'rule', color: ink, strokeWidth: 1.5 }
const figure = { type: 'text', align: 'left', dx: 6, color: '#495057', fontSize: 10 }
const tick = { type: 'tick', color: ink, thickness: 1.5, size: 8 }

/** Draws a chart of Vega-Lite; resolves with an SVG document. */
export async function draw ({ title, subtitle, ...spec }) {
  const { spec: compiled } = compile({ title: { text: title, ...subtitle ? { subtitle } : {} }, ...spec }, { config, logger: silent })
  return `${await new View(parse(compiled), { renderer: 'none' }).toSVG()}\n`
}

const silent = { level: () => silent, error (error) { throw new Error(error) }, warn: () => silent, info: () => silent, debug: () => silent }

/**
 * Bars by server, beside each other for every facet: the median, and a line from the lowest round to the highest.
 *
 * @param {object} options
 * @param {string} options.title
 * @param {string} [options.subtitle]
 * @param {Array<{ server: string, facet?: string, value: number, low: number, high: number }>} options.rows
 * @param {string} options.axis what is drawn, with its unit
 * @param {number} [options.limit] drawn as a line
 * @param {number} [options.digits=0] of the figures beside the bars
 * @param {number[]} [options.ticks] on the axis
 */
export function bars ({ title, subtitle, rows, axis, limit, digits = 0, width = 260, scale = {}, ticks }) {
  const labelled = rows.map(row => ({ ...row, label: text(row.value, digits), limit }))
  return inFacets({ title, subtitle, rows: labelled, width }, [
    { mark: { type: 'bar' }, encoding: { x: { field: 'value', type: 'quantitative', title: axis, scale, axis: ticks === undefined ? {} : { values: ticks } }, color: serverColour } },
    ...limit === undefined ? [] : [{ mark: { type: 'rule', strokeDash: [4, 3], color: colours.second }, encoding: { x: { field: 'limit', type: 'quantitative', scale }, y: null } }],
    ...whiskers(scale)
  ])
}

/** The same with the median made of several kinds, which are stacked; low and high are those of their sum. */
export function stackedBars ({ title, subtitle, rows, kinds, axis, width = 260 }) {
  const names = Object.keys(kinds)
  const parts = rows.map(row => ({ ...row, label: text(names.reduce((sum, name) => sum + row[name], 0)), ...Object.fromEntries(names.map(name => [kinds[name].title, row[name]])) }))
  const titles = names.map(name => kinds[name].title)
  return inFacets({ title, subtitle, rows: parts, width }, [
    {
      transform: [{ fold: titles, as: ['kind', 'part'] }],
      mark: { type: 'bar' },
      encoding: {
        x: { field: 'part', type: 'quantitative', stack: 'zero', title: axis },
        color: { field: 'kind', type: 'nominal', title: null, sort: titles, scale: { domain: titles, range: names.map(name => kinds[name].colour) } },
        order: { field: 'kind', sort: 'descending' }
      }
    },
    ...whiskers()
  ])
}

function whiskers (scale = {}) {
  const hasRange = [{ filter: 'datum.high > datum.low' }]
  const ends = ['low', 'high'].map(field => ({ transform: hasRange, mark: tick, encoding: { x: { field, type: 'quantitative', scale } } }))
  return [
    { transform: hasRange, mark: rule, encoding: { x: { field: 'low', type: 'quantitative', scale }, x2: { field: 'high' } } },
    ...ends,
    { mark: figure, encoding: { x: { field: 'high', type: 'quantitative', scale }, text: { field: 'label' } } }
  ]
}

function inFacets ({ title, subtitle, rows, width }, layer) {
  const facets = [...new Set(rows.map(({ facet }) => facet))]
  const order = [...new Set(rows.map(({ server }) => server))]
  const plot = { width, height: { step: 24 }, layer, encoding: { y: { field: 'server', type: 'nominal', ...servers, sort: order } } }
  const data = { values: rows }
  if (facets.length === 1) return { title, subtitle, data, ...plot }
  return { title, subtitle, data, facet: { column: { field: 'facet', type: 'nominal', title: null, sort: facets } }, spec: plot, resolve: { axis: { x: 'independent' } } }
}

/**
 * Lines over a number, on logarithmic axes where told: the median, and a line from the lowest round to the highest.
 *
 * @param {Array<{ x: number, series: string, value: number, low: number, high: number, facet?: string }>} rows
 */
export function lines ({ title, subtitle, rows, xAxis, yAxis, colours, xScale = {}, yScale = {}, width = 420, height = 260 }) {
  const names = Object.keys(colours)
  const x = { field: 'x', type: 'quantitative', title: xAxis, scale: xScale, axis: { values: [...new Set(rows.map(({ x }) => x))], format: ',d' } }
  const y = { type: 'quantitative', title: yAxis, scale: yScale }
  const colour = { field: 'series', type: 'nominal', title: null, sort: names, scale: { domain: names, range: Object.values(colours) } }
  return {
    title,
    subtitle,
    data: { values: rows },
    width,
    height,
    encoding: { x, color: colour },
    layer: [
      { mark: { type: 'line', point: { size: 45, filled: true }, strokeWidth: 2 }, encoding: { y: { field: 'value', ...y } } },
      { transform: [{ filter: 'datum.high > datum.low' }], mark: { type: 'rule', strokeWidth: 1.5 }, encoding: { y: { field: 'low', ...y }, y2: { field: 'high' } } }
    ]
  }
}

/** Columns in groups: `rows` of { facet, at, series, value }; `at` in the order of the rows. */
export function columns ({ title, subtitle, rows, axis, xAxis, colours, width = 260, height = 220 }) {
  const names = Object.keys(colours)
  return {
    title,
    subtitle,
    data: { values: rows },
    facet: { column: { field: 'facet', type: 'nominal', title: null, sort: [...new Set(rows.map(({ facet }) => facet))] } },
    spec: {
      width,
      height,
      mark: { type: 'bar' },
      encoding: {
        x: { field: 'at', type: 'nominal', title: xAxis, sort: [...new Set(rows.map(({ at }) => at))], axis: { labelAngle: 0 } },
        xOffset: { field: 'series', sort: names },
        y: { field: 'value', type: 'quantitative', title: axis },
        color: { field: 'series', type: 'nominal', title: null, sort: names, scale: { domain: names, range: Object.values(colours) } }
      }
    }
  }
}

/** A dot for each value, one row for each series, with the median and its interval below; and a line at `reference`. */
export function distribution ({ title, subtitle, rows, intervals, axis, reference, width = 560 }) {
  const order = [...new Set(rows.map(({ series }) => series))]
  const x = { type: 'quantitative', title: axis, scale: { zero: false } }
  const y = { field: 'series', type: 'nominal', title: null, sort: order }
  return {
    title,
    subtitle,
    width,
    height: { step: 64 },
    layer: [
      { data: { values: reference.map(at => ({ at })) }, mark: { type: 'rule', strokeDash: [4, 3], color: '#868e96' }, encoding: { x: { field: 'at', ...x } } },
      { data: { values: rows }, mark: { type: 'circle', color: neutral, opacity: 0.75, size: 36, yOffset: -10 }, encoding: { x: { field: 'value', ...x }, y } },
      { data: { values: intervals }, mark: { type: 'bar', color: accent, height: 8, opacity: 0.45, yOffset: 14 }, encoding: { x: { field: 'low', ...x }, x2: { field: 'high' }, y } },
      { data: { values: intervals }, mark: { type: 'tick', color: accent, thickness: 3, size: 20, yOffset: 14 }, encoding: { x: { field: 'median', ...x }, y } }
    ]
  }
}

export const colours = { accent, neutral, dark: '#495057', light: '#ced4da', second: '#1971c2', pale: '#ffc9a3' }
