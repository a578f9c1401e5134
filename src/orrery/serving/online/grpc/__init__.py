"""The Open Inference Protocol over gRPC: the service ``inference.GRPCInferenceService``."""
