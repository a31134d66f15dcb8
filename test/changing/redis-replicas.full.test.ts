import { changesAcrossProcesses } from './across-processes.ts'

// The replicas have a mark before the work begins. Otherwise, reads may be as old as a replica that lags behind.
changesAcrossProcesses('redis-replicas', { options: { waitReplicas: 2 } })
