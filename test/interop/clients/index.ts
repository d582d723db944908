import type { Client } from '../client.ts'
import { curlClients } from './curl.ts'
import { nodeFetch } from './fetch.ts'
import { goClients } from './go.ts'
import { h2loadClients } from './h2load.ts'
import { heyClients } from './hey.ts'
import { nodeHttp } from './node-http.ts'
import { pythonClients } from './python.ts'
import { undici, undiciHttp2 } from './undici.ts'
import { wrk } from './wrk.ts'

/** Every client that this project did not write. */
export const clients: Client[] = [
  nodeHttp, undici, undiciHttp2, nodeFetch, ...curlClients, ...pythonClients, ...goClients, wrk, ...heyClients, ...h2loadClients
]
