import { startNullDynamoDB } from '../lib/servers/null-dynamodb-server.mjs'
import { dynamodbGroup } from '../lib/workloads/dynamodb-group.mjs'

/** Measures the client, with a server that takes almost no time. With 64 calls in flight, a call takes 40 ms. */
export default dynamodbGroup({
  start: startNullDynamoDB,
  minGetRatio: 5,
  minSetRatio: 5,
  durationFactor: 5,
})
