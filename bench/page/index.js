import early413 from './early-413.js'
import exitTime from './exit-time.js'
import handover from './handover.js'
import http2 from './http2.js'
import memory from './memory.js'
import overhead from './overhead.js'
import reuseport from './reuseport.js'
import rolling from './rolling.js'
import scale from './scale.js'
import sigterm from './sigterm.js'
import websockets from './websockets.js'

/**
 * The parts of the page, in their order. Each says which benches it runs and about how long that takes, makes what is kept
 * of their results (`condense`), and turns that into a section: text, tables, charts, targets.
 */
export const parts = {
  sigterm,
  'exit-time': exitTime,
  'early-413': early413,
  rolling,
  reuseport,
  handover,
  http2,
  websockets,
  scale,
  memory,
  overhead
}
