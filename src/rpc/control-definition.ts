import { raftctl } from '../generated/raftctl.js'
import { defineService, serverStream, unary } from './grpc.js'

const v1 = raftctl.v1

/** raftctl.v1.Control: what administrators ask of a node (proto/control.proto). */
export const Control = defineService('raftctl.v1.Control', {
  GetNodeStatus: unary(v1.NodeStatusRequest, v1.NodeStatus),
  ListGroups: unary(v1.ListGroupsRequest, v1.ListGroupsResponse),
  CreateGroup: unary(v1.CreateGroupRequest, v1.CreateGroupResponse),
  RemoveGroup: unary(v1.RemoveGroupRequest, v1.RemoveGroupResponse),
  Probe: unary(v1.ProbeRequest, v1.ProbeResponse),
  GetLeader: unary(v1.LeaderRequest, v1.LeaderResponse),
  GetConfiguration: unary(v1.ConfigurationRequest, v1.ConfigurationResponse),
  ChangeMembers: serverStream(v1.ChangeMembersRequest, v1.ChangeMembersProgress),
  ResetPeers: unary(v1.ResetPeersRequest, v1.ResetPeersResponse),
  SetMemberName: unary(v1.SetMemberNameRequest, v1.SetMemberNameResponse),
  TransferLeader: unary(v1.TransferRequest, v1.TransferResponse),
  StepDown: unary(v1.StepDownRequest, v1.TransferResponse),
  SetElectionPause: unary(v1.ElectionPauseRequest, v1.ElectionPauseResponse),
  ReadLog: serverStream(v1.ReadLogRequest, v1.LogRecord),
  LogStats: unary(v1.LogStatsRequest, v1.LogStatsResponse),
  CompactLog: unary(v1.CompactLogRequest, v1.CompactLogResponse),
  TriggerSnapshot: unary(v1.TriggerSnapshotRequest, v1.TriggerSnapshotResponse),
  ListSnapshots: unary(v1.ListSnapshotsRequest, v1.ListSnapshotsResponse),
  StreamSnapshot: serverStream(v1.StreamSnapshotRequest, v1.SnapshotChunk),
  Mark: unary(v1.MarkRequest, v1.MarkResponse),
  HashState: unary(v1.HashStateRequest, v1.HashStateResponse),
  Subscribe: serverStream(v1.SubscribeRequest, v1.Event),
  Drain: unary(v1.DrainRequest, v1.DrainResponse),
  Shutdown: unary(v1.ShutdownRequest, v1.ShutdownResponse),
  SetLogLevel: unary(v1.LogLevelRequest, v1.LogLevelResponse),
  GetEffectiveConfig: unary(v1.EffectiveConfigRequest, v1.EffectiveConfigResponse),
  Alarms: unary(v1.AlarmsRequest, v1.AlarmsResponse),
  CheckDisk: unary(v1.CheckDiskRequest, v1.CheckDiskResponse),
  CheckPeers: unary(v1.CheckPeersRequest, v1.CheckPeersResponse),
  CheckClock: unary(v1.CheckClockRequest, v1.CheckClockResponse),
  SetFaults: unary(v1.SetFaultsRequest, v1.FaultsResponse),
  GetFaults: unary(v1.GetFaultsRequest, v1.FaultsResponse),
})
