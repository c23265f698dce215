// Members are asked and told what to do by their control service, without the start of a command for each question.
import { raftctl } from '../../dist/src/generated/raftctl.js'
import { framed, LeanGrpc } from './lean-grpc.mjs'

const { v1 } = raftctl
const METHODS = {
  GetNodeStatus: [v1.NodeStatusRequest, v1.NodeStatus],
  CreateGroup: [v1.CreateGroupRequest, v1.CreateGroupResponse],
  ListGroups: [v1.ListGroupsRequest, v1.ListGroupsResponse],
  TriggerSnapshot: [v1.TriggerSnapshotRequest, v1.TriggerSnapshotResponse],
}

/** Asks a member by a connection of its own; fails when it refuses or is not there. */
export async function control(address, method, request = {}) {
  const [Request, Response] = METHODS[method]
  const connection = new LeanGrpc(address)
  try {
    const message = framed(Buffer.from(Request.encode(request).finish()))
    const answer = await new Promise((done, fail) =>
      connection.call(`/raftctl.v1.Control/${method}`, message, (error, bytes) =>
        error ? fail(new Error(`${address} ${method}: ${error.message}`)) : done(bytes),
      ),
    )
    return Response.decode(answer)
  } finally {
    connection.close()
  }
}
