"""Models, endpoint configurations, endpoints, and the calls of SageMaker Runtime."""
