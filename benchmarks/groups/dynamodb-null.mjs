import { startNullDynamoDB } from '../lib/servers/null-dynamodb-server.mjs'
import { dynamodbGroup } from '../lib/workloads/dynamodb-group.mjs'

/**
 * Measures the client: the server only stores items. With 64 calls in flight, a call of `raw` takes 20 to 40 ms, so
 * the turns are longer.
 */
export default dynamodbGroup({
  start: startNullDynamoDB,
  minRatios: { get: 30, set: 5, put: 6, getMany: 2.5, single: 2.5 },
  durationFactor: 5,
})
