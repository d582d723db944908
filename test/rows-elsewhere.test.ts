import { runRows } from './helpers/rows.ts'
import row7 from './rows/row-07-peer-vanished.ts'
import row18 from './rows/row-18-accept-queue.ts'
import row20 from './rows/row-20-second-signal.ts'
import row29 from './rows/row-29-reset.ts'
import row30 from './rows/row-30-many-connections.ts'
import row31 from './rows/row-31-handover.ts'
import row34 from './rows/row-34-cluster.ts'
import row35 from './rows/row-35-inject.ts'

runRows([row7, row18, row20, row29, row30, row31, row34, row35])
