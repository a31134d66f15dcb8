import { startDynamoDB } from '@stowage/test-servers'
import { dynamodbGroup } from '../lib/dynamodb-group.mjs'

/** Amazon's own engine, which needs Java. It costs more than the client, and most of all where it writes. */
export default dynamodbGroup({ start, get64: 3, set64: 5, timesLonger: 10 })

async function start() {
  const { pid, url, stop } = await startDynamoDB()
  return {
    pids: [pid],
    addressOf: (contestant) => ({ endpoint: url, table: contestant }),
    async reset() {},
    stop,
  }
}
